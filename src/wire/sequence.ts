/**
 * What is missing from a stream of facts. Publishers number each topic from 1; facts may be lost (a full
 * queue, a late join, a reconnect), so hearers count, and ask for what they missed.
 *
 *   1 2 3 . . 6 7      gap: 4..5 of this epoch are missing
 *   1 2 3 | 1 2        restart: another epoch of the same sender; what it said before 1 is not missing
 *   . . 9 10           join: the first that we heard was 9
 */
export interface Gap {
  readonly kind: "gap" | "restart" | "join" | "duplicate";
  readonly sender: string;
  readonly topic: string;
  readonly epoch: number;
  /** Missing from `first` to `last`, both included; last < first: none. */
  readonly first: number;
  readonly last: number;
}
export const missedOf = ({ first, last }: Gap): number => last - first + 1;

interface Place { epoch: number; seq: number }

/** Topics are few (kinds and shards): one place is kept for each sender's topic. */
export class Sequences {
  readonly #places = new Map<string, Map<string, Place>>();

  /** Null: the next in line. A duplicate must not be handled again. */
  hear(sender: string, topic: string, epoch: number, seq: number): Gap | null {
    return this.#advance(sender, topic, epoch, seq, seq - 1);
  }

  /** The sender says that `seq` is the last that it said: the loss of a last message is seen too. */
  tail(sender: string, topic: string, epoch: number, seq: number): Gap | null {
    const place = this.#places.get(topic)?.get(sender);
    if (place !== undefined && place.epoch === epoch && seq <= place.seq) return null;
    return this.#advance(sender, topic, epoch, seq, seq);
  }

  /** Moves to `seq`; everything after the last place up to `last` is missing. */
  #advance(sender: string, topic: string, epoch: number, seq: number, last: number): Gap | null {
    let senders = this.#places.get(topic);
    if (senders === undefined) this.#places.set(topic, senders = new Map());
    const place = senders.get(sender);
    if (place === undefined) {
      senders.set(sender, { epoch, seq });
      return { kind: "join", sender, topic, epoch, first: 1, last };
    }
    if (place.epoch !== epoch) {
      place.epoch = epoch; place.seq = seq;
      return { kind: "restart", sender, topic, epoch, first: 1, last };
    }
    if (seq <= place.seq) return { kind: "duplicate", sender, topic, epoch, first: seq, last: seq - 1 };
    const first = place.seq + 1;
    place.seq = seq;
    return last < first ? null : { kind: "gap", sender, topic, epoch, first, last };
  }
}
