// Which execution providers this machine's ONNX Runtime offers, and what to say when the one that was asked for is not among them.

import { EngineError, messageOf } from '../../base/index.ts';
import { type Provider, providers } from '../engine.ts';
import { silenceRuntime } from './silence.ts';

/** A provider that onnxruntime-node was built with here. */
export interface ProviderHere {
  readonly provider: Provider;
  /** Its library came with the npm package; else it must be installed apart, and the driver with it. */
  readonly bundled: boolean;
}

const advice: Readonly<Record<Provider, string>> = {
  cpu: 'reinstall onnxruntime-node for this platform',
  webgpu: 'a GPU with a Vulkan, Metal or Direct3D 12 driver is needed, or use provider cpu',
  cuda: 'install CUDA 12, cuDNN 9 and the CUDA libraries of onnxruntime-node (its script/install.js) on Linux x64, or use provider cpu',
  dml: 'DirectML is part of Windows builds only; use provider cpu',
  coreml: 'CoreML is part of macOS builds only; use provider cpu',
};

/** The providers of this machine's build. That one is listed does not say that a device for it is present: opening an engine does. */
export async function providersHere(): Promise<readonly ProviderHere[]> {
  silenceRuntime();
  const { listSupportedBackends } = await import('onnxruntime-node');
  return listSupportedBackends()
    .filter(({ name }) => (providers as readonly string[]).includes(name))
    .map(({ name, bundled }) => ({ provider: name as Provider, bundled }));
}

/** EngineError `provider-missing`: what was asked for, what is here, what to do. */
export function providerMissing(provider: Provider, here: readonly ProviderHere[], cause?: unknown): EngineError {
  const list = here.map((one) => (one.bundled ? one.provider : `${one.provider} (libraries apart)`)).join(', ');
  const why = cause === undefined ? '' : ` (${messageOf(cause).replaceAll(/\s+/g, ' ').trim()})`;
  return new EngineError(
    'provider-missing',
    `provider ${provider} cannot be used on this machine${why}; this build has ${list || 'none'}: ${advice[provider]}`,
    cause === undefined ? {} : { cause },
  );
}
