export { Door, type DoorOptions } from './door.ts';
export { fingerprint, type Invite, looksLikeInvite, readInvite } from './invite.ts';
export { joinStudy } from './join.ts';
export { proxyFor } from './proxy.ts';
export { siteCertificate } from './site-certificate.ts';
export {
  enterStudy,
  type Invited,
  inviteSite,
  type InviteOptions,
  openRegistry,
  revokeSite,
  withRegistry,
} from './server-folder.ts';
export {
  type Enrolment,
  formerKeys,
  hasWithdrawn,
  joinedStudies,
  keepWithdrawn,
  openEnrolment,
} from './site-folder.ts';
