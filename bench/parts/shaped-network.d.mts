export interface LineOptions {
  readonly bitsPerSecond: number;
  readonly delayMs: number;
  /** Bytes that may wait to leave, in time: default 50 ms. */
  readonly queueMs?: number;
}

export class Line {
  constructor(options: LineOptions);
  readonly hasRoom: boolean;
  bytes: number;
  firstMs: number;
  lastMs: number;
  room(): Promise<void>;
  take(data: Uint8Array, arrive: (data: Uint8Array) => void): void;
  reset(): void;
  close(): void;
}

export class ShapedNetwork {
  static open(
    targetPort: number,
    lines: (connection: number) => { readonly up: Line; readonly down: Line },
  ): Promise<ShapedNetwork>;
  readonly port: number;
  readonly url: string;
  readonly connections: number;
  cut(): void;
  close(): Promise<void>;
}
