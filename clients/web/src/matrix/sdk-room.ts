// One room, as matrix-js-sdk keeps it.

import {
  EventTimeline,
  EventType,
  MatrixEventEvent,
  RoomEvent,
  RoomMemberEvent,
  RoomStateEvent,
  RoomStickyEventsEvent,
  type MatrixClient,
  type MatrixEvent,
  type Room as SdkRoom,
} from 'matrix-js-sdk';
import type { RawEvent, Room, SentSticky } from './homeserver.ts';
import type { Json } from './json.ts';
import { SenderDevices } from './sdk-devices.ts';
import { asError } from './sdk-error.ts';

export class RoomView implements Room {
  readonly #client: MatrixClient;
  readonly #room: SdkRoom;
  readonly #devices: SenderDevices;

  constructor(client: MatrixClient, room: SdkRoom) {
    this.#client = client;
    this.#room = room;
    this.#devices = new SenderDevices(client);
  }

  get id(): string {
    return this.#room.roomId;
  }

  get name(): string {
    return this.#room.name;
  }

  get version(): string {
    return this.#room.getVersion();
  }

  joinedUsers(): string[] {
    return this.#room.getJoinedMembers().map(({ userId }) => userId);
  }

  state(type: string): readonly RawEvent[] {
    const state = this.#room.getLiveTimeline().getState(EventTimeline.FORWARDS);
    return (state?.getStateEvents(type) ?? []).map(raw);
  }

  sticky(type: string): readonly RawEvent[] {
    return [...this.#room._unstable_getStickyEvents()].filter((event) => event.getType() === type).map((event) => {
      const senderDevice = this.#devices.of(event);
      return { ...raw(event), ...(senderDevice === undefined ? {} : { senderDevice }) };
    });
  }

  isJoined(user: string): boolean {
    return this.#room.getMember(user)?.membership === 'join';
  }

  displayName(user: string): string {
    return this.#room.getMember(user)?.name ?? user;
  }

  onChange(listener: () => void): () => void {
    const decrypted = (event: MatrixEvent): void => (event.getRoomId() === this.id ? listener() : undefined);
    const member = (_: unknown, { roomId }: { roomId: string }): void => (roomId === this.id ? listener() : undefined);
    this.#room.on(RoomStateEvent.Events, listener);
    this.#room.on(RoomStickyEventsEvent.Update, listener);
    this.#client.on(RoomMemberEvent.Membership, member);
    this.#client.on(MatrixEventEvent.Decrypted, decrypted);
    const unlisten = this.#devices.onFound(listener);
    return () => {
      unlisten();
      this.#room.off(RoomStateEvent.Events, listener);
      this.#room.off(RoomStickyEventsEvent.Update, listener);
      this.#client.off(RoomMemberEvent.Membership, member);
      this.#client.off(MatrixEventEvent.Decrypted, decrypted);
    };
  }

  onTimeline(listener: (event: RawEvent) => void): () => void {
    const seen = new Set<string>();
    const tell = (event: MatrixEvent): void => {
      const id = event.getId() ?? '';
      // One that is still being sent has an id of its own; it comes again.
      if (event.getRoomId() !== this.id || event.isSending() || event.getType() === EventType.RoomMessageEncrypted || event.isRedacted() || seen.has(id)) return;
      seen.add(id);
      listener(raw(event));
    };
    const timeline = (event: MatrixEvent): void => tell(event);
    for (const event of this.#room.getLiveTimeline().getEvents()) tell(event);
    this.#room.on(RoomEvent.Timeline, timeline);
    this.#room.on(RoomEvent.LocalEchoUpdated, timeline);
    this.#client.on(MatrixEventEvent.Decrypted, tell);
    return () => {
      this.#room.off(RoomEvent.Timeline, timeline);
      this.#room.off(RoomEvent.LocalEchoUpdated, timeline);
      this.#client.off(MatrixEventEvent.Decrypted, tell);
    };
  }

  onRedaction(listener: (eventId: string, at: number) => void): () => void {
    const redacted = (event: MatrixEvent): void => listener(event.getAssociatedId() ?? '', event.getTs());
    this.#room.on(RoomEvent.Redaction, redacted);
    return () => this.#room.off(RoomEvent.Redaction, redacted);
  }

  async send(type: string, content: Json): Promise<string> {
    try {
      return (await this.#client.sendEvent(this.id, type as never, content as never)).event_id;
    } catch (error) {
      throw asError(error);
    }
  }

  async sendSticky(type: string, content: Json, durationMs: number): Promise<SentSticky> {
    try {
      const crypto = this.#room.hasEncryptionStateEvent() ? this.#client.getCrypto() : undefined;
      const devices = await crypto?.getUserDeviceInfo(this.joinedUsers(), true);
      const sent = await this.#client._unstable_sendStickyEvent(this.id, durationMs, null, type as never, content as never);
      return { eventId: sent.event_id, readers: devices ? [...devices].flatMap(([user, own]) => [...own.keys()].map((device) => ({ user, device }))) : null };
    } catch (error) {
      throw asError(error);
    }
  }

  async redact(eventId: string): Promise<void> {
    await this.#client.redactEvent(this.id, eventId).catch((error: unknown) => Promise.reject(asError(error)));
  }
}

function raw(event: MatrixEvent): RawEvent {
  const stateKey = event.getStateKey();
  const until = event.unstableStickyExpiresAt;
  const clear: RawEvent = { type: event.getType(), sender: event.getSender() ?? '', content: event.getContent() as Json, originServerTs: event.getTs(), eventId: event.getId() ?? '' };
  return { ...clear, ...(stateKey === undefined ? {} : { stateKey }), ...(until === undefined ? {} : { stickyUntil: until }), ...(event.isRedacted() ? { redacted: true } : {}) };
}
