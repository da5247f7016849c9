export * from './agent.ts';
export { greet, type SiteKeys } from './greet.ts';
export { OutboundLedger } from './outbound-ledger.ts';
