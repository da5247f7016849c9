export { type Certificate, makeCertificate } from './certificate.ts';
export { connectWebSocket, type ConnectOptions } from './connect-websocket.ts';
export { listenWebSocket, type ListenOptions, type WebSocketListener } from './listen-websocket.ts';
export { isLoopbackAddress } from './loopback.ts';
export { proxyUrl } from './open-socket.ts';
export { defaultWebSocketOptions, type WebSocketOptions } from './options.ts';
export { type AddressLimits, defaultAddressLimits, type TurnedAway } from './addresses.ts';
