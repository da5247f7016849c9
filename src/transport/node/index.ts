export { connectWebSocket } from './connect-websocket.ts';
export { listenWebSocket, type ListenOptions } from './listen-websocket.ts';
export { defaultWebSocketOptions, type WebSocketOptions } from './options.ts';
