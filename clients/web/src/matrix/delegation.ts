// The focus restarts our delayed leave while our media live, so that a page which the browser has put to sleep stays in the
// call. When the connection to it breaks we do it ourselves again.

import type { Call } from '../call.ts';
import type { Clock } from '../clock.ts';
import type { LastWill } from './last-will.ts';

/** The focus asks the homeserver first; after this long it is taken for a no. */
const ANSWER_MS = 10_000;

export interface DelegationOptions {
  readonly call: Pick<Call, 'on' | 'state' | 'delegateLeave'>;
  readonly will: LastWill;
  readonly serverName: string;
  readonly clock: Clock;
}

/** Returns what ends it. */
export function delegate({ call, will, serverName, clock }: DelegationOptions): () => void {
  let offered: string | null = null;
  let cancel = (): void => undefined;
  const withdraw = (): void => {
    cancel();
    if (offered !== null) will.forget(offered);
    offered = null;
  };
  const offer = async (): Promise<void> => {
    if (offered !== null || will.isLent) return;
    const loan = await will.toLend();
    if (!loan) return;
    if (call.state !== 'joined') return will.forget(loan.delayId);
    offered = loan.delayId;
    call.delegateLeave({ delay_id: loan.delayId, delay_ms: loan.delayMs, server_name: serverName });
    cancel = clock.after(ANSWER_MS, withdraw);
  };
  const stops = [
    call.on('state', (state) => {
      if (state === 'joined') void offer();
      else {
        withdraw();
        void will.takeBack();
      }
    }),
    call.on('delegated', ({ state }) => {
      if (state === 'held' && offered !== null) {
        cancel();
        will.lent(offered);
        offered = null;
      } else if (state !== 'held') {
        withdraw();
        void will.takeBack();
      }
    }),
  ];
  if (call.state === 'joined') void offer();
  return () => {
    for (const stop of stops) stop();
    withdraw();
  };
}
