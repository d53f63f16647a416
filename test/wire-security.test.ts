/** Beyond loopback: keys, the allow list, and what is refused. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { describe, test, type TestContext } from "node:test";
import * as zmq from "zeromq";
import { UserError } from "../src/base/error.ts";
import { ACK } from "../src/wire/codec.ts";
import { makeKeys, readKeys, type Keys, type Security } from "../src/wire/security.ts";
import { openPublisher, openRequester, openResponder, openSubscriber, type Trouble } from "../src/wire/socket.ts";

const ANY = "tcp://127.0.0.1:0";
const makePair = (): Keys => zmq.curveKeyPair();
const server = makePair(), friend = makePair(), stranger = makePair();
const serving: Security = { keys: server, allowed: [friend.publicKey] };
const hearing = (keys: Keys, serverKey = server.publicKey): Security => ({ keys, serverKey });

function folderOf(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(tmpdir(), "dmn-keys-"));
  t.after(() => { fs.rmSync(folder, { recursive: true }); });
  return folder;
}
const refusal = (problem: RegExp) => (error: unknown): boolean => error instanceof UserError && problem.test(error.problem);

/** Opens a hearer with these keys beside one that is allowed; resolves with what came to pass when the latter has heard. */
async function overhear(t: TestContext, security: Security | null): Promise<{ heard: number; server: Trouble[];
  client: Trouble[] }> {
  const troubles: Trouble[] = [], client: Trouble[] = [], said = Promise.withResolvers<void>(),
    refused = Promise.withResolvers<void>();
  const note = (list: Trouble[]) => (trouble: Trouble): void => {
    list.push(trouble);
    if (trouble.code === "refused" || trouble.code === "handshake") refused.resolve();
  };
  const publisher = await openPublisher({ sender: "feed", address: ANY, security: serving, onTrouble: note(troubles) });
  t.after(() => { publisher.close(); });
  let heard = 0;
  const other = await openSubscriber({ sender: "other", addresses: [publisher.address], topics: [""], security,
    hear: () => { heard++; }, onTrouble: note(client) });
  t.after(() => { other.close(); });
  await refused.promise;
  const allowed = await openSubscriber({ sender: "friend", addresses: [publisher.address], topics: [""],
    security: hearing(friend), hear: () => { said.resolve(); } });
  t.after(() => { allowed.close(); });
  await publisher.ready(1, AbortSignal.timeout(5_000));
  publisher.say("market.0.", ACK);
  await said.promise;
  return { heard, server: troubles, client };
}

describe("CURVE", () => {
  test("keys that are not on the allow list hear nothing, and the refusal names them", async (t) => {
    const { heard, server: troubles } = await overhear(t, hearing(stranger));
    assert.equal(heard, 0);
    const refused = troubles.find(({ code }) => code === "refused");
    assert.equal(refused?.text, `127.0.0.1 came with the key ${stranger.publicKey}, which is not on the allow list`);
  });

  test("a hearer that takes another server for ours hears nothing, and is told", async (t) => {
    const { heard, server: troubles } = await overhear(t, hearing(friend, stranger.publicKey));
    assert.equal(heard, 0);
    assert.ok(troubles.some(({ code }) => code === "handshake"), JSON.stringify(troubles));
  });

  test("a hearer without keys hears nothing, and both are told", async (t) => {
    const { heard, server: troubles, client } = await overhear(t, null);
    assert.equal(heard, 0);
    assert.ok([...troubles, ...client].some(({ code, text }) => code === "handshake" && text.includes("could not prove")));
  });

  test("commands cross with the right keys, and are late with others", async (t) => {
    const responder = await openResponder({ sender: "execution", address: ANY, security: serving, answer: () => ACK });
    t.after(() => { responder.close(); });
    const ask = async (keys: Keys, deadlineMs: number): Promise<string> => {
      const requester = await openRequester({ sender: "decision", address: responder.address, security: hearing(keys) });
      t.after(() => { requester.close(); });
      return (await requester.ask(ACK, { deadlineMs })).outcome;
    };
    assert.equal(await ask(friend, 5_000), "answered");
    assert.equal(await ask(stranger, 300), "late");
    assert.equal(responder.answered, 1);
  });
});

describe("what is refused before a socket exists", () => {
  test("binding or connecting beyond this machine without keys; binding with nobody on the list", async () => {
    for (const address of ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://192.168.0.7:5555", "tcp://example.org:5555",
      "tcp://127.0.0.1.example.org:5555", "tcp://eth0:5555"]) {
      await assert.rejects(openPublisher({ sender: "feed", address }), refusal(/open to other machines/), address);
      await assert.rejects(openRequester({ sender: "x", address }), refusal(/open to other machines/), address);
      await assert.rejects(openPublisher({ sender: "feed", address, security: { keys: server } }), refusal(/allow list is empty/),
        address);
      await assert.rejects(openRequester({ sender: "x", address, security: { keys: server } }),
        refusal(/public key .* is not known/));
    }
  });

  test("keys are made once, for their owner's eyes only, and read back", (t) => {
    const place = path.join(folderOf(t), "wire", "keys.json"), keys = makeKeys(place);
    assert.deepEqual(readKeys(place), keys);
    assert.equal(fs.statSync(place).mode & 0o777, 0o600);
    assert.throws(() => makeKeys(place), refusal(/already holds keys/));
    fs.chmodSync(place, 0o640);
    assert.throws(() => readKeys(place), refusal(/others can read/));
  });

  test("a file that is missing, no JSON, or holds something else is a sentence", (t) => {
    const folder = folderOf(t), place = path.join(folder, "keys.json");
    assert.throws(() => readKeys(place), refusal(/cannot be read/));
    for (const text of ["", "null", "[]", "{\"publicKey\":\"short\"}",
      JSON.stringify({ ...server, secretKey: "x".repeat(41) })]) {
      fs.writeFileSync(place, text, { mode: 0o600 });
      assert.throws(() => readKeys(place), refusal(/holds no keys/), text);
    }
  });
});
