export { type Certificate, certifyItself, makeCertificate } from './certificate.ts';
export type { Objection, ShownCertificate } from './certificate-guard.ts';
export { connectWebSocket, type ConnectOptions } from './connect-websocket.ts';
export type { Introduction } from './cut-off.ts';
export { listenWebSocket, type ListenOptions, type WebSocketListener } from './listen-websocket.ts';
export { isLoopbackAddress } from './loopback.ts';
export { proxyUrl } from './open-socket.ts';
export { defaultWebSocketOptions, type WebSocketOptions } from './options.ts';
export { type AddressLimits, defaultAddressLimits, type TurnedAway } from './addresses.ts';
