export { Door, type DoorOptions } from './door.ts';
export { fingerprint, type Invite, looksLikeInvite, readInvite } from './invite.ts';
export { joinStudy } from './join.ts';
export { proxyFor } from './proxy.ts';
export { type Invited, inviteSite, type InviteOptions, revokeSite } from './server-folder.ts';
export { type Enrolment, formerKeys, openEnrolment } from './site-folder.ts';
