export { connectWebSocket } from './connect-websocket.ts';
export { listenWebSocket, type ListenOptions } from './listen-websocket.ts';
export { defaultWebSocketOptions, type WebSocketOptions } from './options.ts';
export { type AddressLimits, defaultAddressLimits, type TurnedAway } from './addresses.ts';
