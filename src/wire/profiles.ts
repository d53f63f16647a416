/**
 * Socket options, one row per role. The numbers are the founding document's (high-water marks, buffers,
 * keep-alive, reconnect); what is ours says why. libzmq's own queue is the one bounded outbox of a socket:
 * sendTimeout 0 makes every send immediate, so that no second send can meet a pending one (EBUSY), and what
 * does not fit is refused at once instead of waiting for a peer that never comes.
 */
const MEBIBYTE = 1 << 20;

const COMMON = {
  tcpKeepalive: 1, tcpKeepaliveIdle: 60, tcpKeepaliveCount: 3, tcpKeepaliveInterval: 10,
  /**
   * No ZMTP heartbeats. A hearer whose queue is full does not read, so does not hear PONG, and cuts a healthy
   * connection; libzmq 4.3.5 then ends the process ("Assertion failed: _input_stopped", its issue 3937: the
   * full queue's wake-up meets the next connection). Frozen peers are found by heartbeat facts and deadlines.
   */
  heartbeatInterval: 0,
  ipv6: false,
  /** Last words of an orderly end, ms; libzmq's default is for ever. */
  linger: 500,
  /** No message of ours is larger, bytes: what says it is, is damaged or hostile. */
  maxMessageSize: 256 * MEBIBYTE,
} as const;

const SEND = { sendTimeout: 0 } as const;
const RECONNECT = { reconnectInterval: 100, reconnectMaxInterval: 1_000 } as const;

export const PROFILES = {
  /** Facts, to many. Over the mark a hearer loses messages, and sees it in seq. */
  publisher: { ...COMMON, ...RECONNECT, ...SEND, sendHighWaterMark: 50_000, sendBufferSize: 4 * MEBIBYTE },
  subscriber: { ...COMMON, ...RECONNECT, receiveHighWaterMark: 50_000, receiveBufferSize: 4 * MEBIBYTE },
  /**
   * Questions and commands: a DEALER with ids and deadlines of its own, which is what REQ's correlate and
   * relaxed ask for, and many may be under way. `immediate`: nothing is queued for a peer that is not there,
   * or a command would reach its successor long after its deadline.
   */
  requester: { ...COMMON, ...RECONNECT, ...SEND, sendHighWaterMark: 64, receiveHighWaterMark: 64,
    sendBufferSize: MEBIBYTE, receiveBufferSize: MEBIBYTE, immediate: true },
  /** `mandatory`: an answer to somebody who has gone is an error to count, not a silent loss. */
  responder: { ...COMMON, ...SEND, sendHighWaterMark: 64, receiveHighWaterMark: 64,
    sendBufferSize: MEBIBYTE, receiveBufferSize: MEBIBYTE, mandatory: true },
} as const;
