#!/bin/sh
# Makes the TypeScript of every .proto file. Needs protoc; `npm run proto` puts protoc-gen-es on the path, in a version that runs on Node 20.
set -e
options=target=ts,import_extension=ts
protoc --proto_path=src/onnx/proto --es_out=src/onnx/gen --es_opt=$options src/onnx/proto/onnx.proto
protoc --proto_path=src/protocol --es_out=src/protocol/gen --es_opt=$options src/protocol/septum.proto
