import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";
import { freePorts, waitUntil } from "../nats-cluster-fixture.ts";
import { Refusals } from "../refusals.ts";
import { Authority, applicantOf } from "./authority.ts";
import { CERTIFICATE_LIFE_MS, clusterDirectory, ensureKeys, readIdentity } from "./identity.ts";
import { JoinError, joinCluster } from "./join-client.ts";
import { JoinServer } from "./join-server.ts";
import { formatToken, parseToken } from "./join-token.ts";
import { encodeMessage, makeJoinRequest, makeRenewRequest, parseRequest } from "./messages.ts";

const HOUR_MS = 3_600_000;
const ADDRESS = "127.0.0.1";

class Cluster {
  readonly directory = mkdtempSync(join(tmpdir(), "rhone-join-"));
  readonly refusals = new Refusals({ now: () => 0 });
  readonly joined: string[] = [];
  authority!: Authority;
  /** The authority's clock; certificates are checked against the real one. */
  nowMs = Date.now();
  port = 0;
  #server!: JoinServer;

  async start(): Promise<void> {
    const home = this.home("a");
    [this.port] = (await freePorts(1)) as [number];
    this.authority = Authority.create(home, { name: "a", underlay: ADDRESS }, this.nowMs);
    const identity = readIdentity(home)!;
    this.#server = new JoinServer({
      authority: this.authority,
      credentials: identity.chassis,
      clusterKey: Buffer.from(identity.clusterKey).toString("hex"),
      address: ADDRESS,
      port: this.port,
      wallClock: () => this.nowMs,
      refusals: this.refusals,
      onJoin: (name) => this.joined.push(name),
    });
    await this.#server.start();
  }

  home(name: string): string {
    return clusterDirectory(join(this.directory, name));
  }

  token(lifeMs = HOUR_MS): string {
    return this.authority.mintToken({ address: ADDRESS, port: this.port }, lifeMs, this.nowMs);
  }

  join(home: string, token: string, name = home, underlay = `127.0.1.${home.charCodeAt(0)}`) {
    return joinCluster(this.home(home), token, { name, underlay });
  }

  stop(): void {
    this.#server.stop();
    rmSync(this.directory, { recursive: true });
  }
}

function refusedAs(code: string, pattern: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof JoinError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  };
}

describe("a chassis with a token", () => {
  const cluster = new Cluster();
  before(() => cluster.start());
  after(() => cluster.stop());

  test("gets its certificates, its peers and the cluster's key", async () => {
    const { peers } = await cluster.join("b", cluster.token());
    assert.deepEqual(
      peers.map(({ name }) => name),
      ["a", "b"],
    );
    const [first, second] = [readIdentity(cluster.home("a"))!, readIdentity(cluster.home("b"))!];
    assert.equal(second.name, "b");
    assert.deepEqual(second.clusterKey, first.clusterKey);
    assert.equal(second.authority, first.authority);
    assert.notEqual(second.id, first.id);
    assert.ok(cluster.joined.includes("b"));
  });

  test("keeps what it got where only its user can read it", async () => {
    await cluster.join("modes", cluster.token());
    const home = cluster.home("modes");
    assert.equal(statSync(home).mode & 0o777, 0o700);
    for (const file of ["chassis.key", "nats.key", "cluster.key", "chassis.crt"]) {
      assert.equal(statSync(join(home, file)).mode & 0o777, 0o600, file);
    }
  });

  test("is refused a second time, and so is another chassis with the same token", async () => {
    const token = cluster.token();
    await cluster.join("c", token);
    await assert.rejects(cluster.join("c", token), refusedAs("has-joined", /c has joined already/));
    await assert.rejects(cluster.join("d", token), refusedAs("token-used", /another chassis/));
    assert.equal(cluster.refusals.counts["join-token-used"], 1);
  });

  test("may ask again when the answer was lost", async () => {
    const token = cluster.token();
    await cluster.join("lost", token);
    rmSync(join(cluster.home("lost"), "chassis.crt"));
    await cluster.join("lost", token);
  });

  test("is refused when the token has run out", async () => {
    const token = cluster.token(HOUR_MS);
    cluster.nowMs += HOUR_MS;
    await assert.rejects(cluster.join("late", token), refusedAs("token-expired", /0 min ago/));
  });

  test("is refused with the name or the address of another", async () => {
    await cluster.join("e", cluster.token());
    const token = cluster.token();
    await assert.rejects(cluster.join("f", token, "e"), refusedAs("name-taken", /called e/));
    const address = "127.0.1.101"; // That of e.
    await assert.rejects(
      cluster.join("f", token, "f", address),
      refusedAs("address-taken", /e has/),
    );
    // A refusal for another reason leaves the token as it was.
    await cluster.join("f", token);
  });

  test("may have a name that was freed", async () => {
    await cluster.join("g", cluster.token());
    assert.equal(cluster.authority.forget("g"), true);
    assert.equal(cluster.authority.forget("g"), false);
    await cluster.join("h", cluster.token(), "g");
  });

  test("is refused with a guessed secret, and with a token of another cluster", async () => {
    const token = parseToken(cluster.token())!;
    const guess = formatToken({ ...token, secret: new Uint8Array(24) });
    await assert.rejects(cluster.join("i", guess), refusedAs("unknown-token", /not one of this/));
    const other = new Cluster();
    await other.start();
    try {
      const foreign = parseToken(other.token())!;
      const text = formatToken({ ...foreign, port: cluster.port });
      const what = /not of the token's cluster.*expected a certificate by [0-9a-f]{64}/;
      await assert.rejects(cluster.join("i", text), refusedAs("wrong-authority", what));
    } finally {
      other.stop();
    }
  });

  test("hears that nobody answers", async () => {
    const [port] = (await freePorts(1)) as [number];
    const token = formatToken({ ...parseToken(cluster.token())!, port });
    await assert.rejects(cluster.join("j", token), refusedAs("unreachable", /ECONNREFUSED/));
    await assert.rejects(cluster.join("j", "rhone1.AAAA"), refusedAs("no-token", /other text/));
  });
});

describe("the authority", () => {
  const cluster = new Cluster();
  before(() => cluster.start());
  after(() => cluster.stop());

  test("refuses a request that was signed with another key", () => {
    const token = parseToken(cluster.token())!;
    const self = { name: "x", underlay: "127.0.2.1" };
    const [mine, theirs] = [ensureKeys(cluster.home("x")), ensureKeys(cluster.home("y"))];
    const key = createPrivateKey(theirs.chassis);
    const request = makeJoinRequest(applicantOf(self, mine), token, key);
    const answer = cluster.authority.admit(request, "", cluster.nowMs);
    assert.equal(answer.ok ? "" : answer.error.code, "bad-signature");
  });

  test("renews for its members, with clocks that agree, and for nobody else", async () => {
    await cluster.join("m", cluster.token());
    const keys = ensureKeys(cluster.home("m"));
    const applicant = applicantOf({ name: "m", underlay: "127.0.1.109" }, keys);
    const ask = (name: string, timeMs: number, key = keys.chassis): string => {
      const request = makeRenewRequest({ ...applicant, name }, timeMs, createPrivateKey(key));
      const answer = cluster.authority.renew(request, cluster.nowMs);
      return answer.ok ? "ok" : answer.error.code;
    };
    cluster.nowMs += CERTIFICATE_LIFE_MS / 2;
    assert.equal(ask("m", cluster.nowMs), "ok");
    assert.equal(ask("a", cluster.nowMs), "not-a-member");
    assert.equal(ask("nobody", cluster.nowMs), "not-a-member");
    assert.equal(ask("m", cluster.nowMs, keys.nats), "bad-signature");
    assert.equal(ask("m", cluster.nowMs - HOUR_MS), "wrong-time");
    assert.equal(ask("m", cluster.nowMs + HOUR_MS), "wrong-time");
  });

  test("is made once", () => {
    const self = { name: "a", underlay: ADDRESS };
    assert.throws(() => Authority.create(cluster.home("a"), self, 0), /belongs to one/);
    assert.equal(Authority.open(cluster.home("nowhere")), null);
    assert.equal(
      Authority.open(cluster.home("a"))?.members().length,
      cluster.authority.members().length,
    );
  });

  test("counts rubbish, cut and endless requests, and goes on", async () => {
    const plain = connectTcp(cluster.port, ADDRESS, () => plain.write("GET / HTTP/1.1\r\n\r\n"));
    plain.on("error", () => {}).resume();
    await waitUntil(
      "plain text is counted",
      5000,
      () => cluster.refusals.counts["join-no-tls"] === 1,
    );
    for (const text of ["\n", "{}\n", "x".repeat(10_000), '{"version":1,"type":"join"}\n']) {
      const before = cluster.refusals.counts["join-malformed"] ?? 0;
      const socket = connect(
        { host: ADDRESS, port: cluster.port, ca: [readIdentity(cluster.home("a"))!.authority] },
        () => {
          socket.write(text);
        },
      );
      socket.on("error", () => {}).resume();
      await waitUntil("it is counted", 5000, () => {
        return cluster.refusals.counts["join-malformed"] === before + 1;
      });
      socket.destroy();
    }
    await cluster.join("n", cluster.token());
  });
});

test("a token is read back as it was, and not when anything is cut or bent", async () => {
  const cluster = new Cluster();
  await cluster.start();
  try {
    const text = cluster.token();
    const token = parseToken(text)!;
    assert.equal(formatToken(token), text);
    assert.deepEqual([token.address, token.port], [ADDRESS, cluster.port]);
    for (let size = 0; size < text.length; size += 3) {
      assert.equal(parseToken(text.slice(0, size)), null, `${size} characters`);
    }
    assert.equal(parseToken(`${text}=`), null);
    assert.equal(parseToken(text.replace("rhone1", "rhone2")), null);
    assert.equal(parseToken(`${text.slice(0, -8)}AAAAAAAA`), null);
  } finally {
    cluster.stop();
  }
});

test("a request is read back as it was, and not when a field is missing or wrong", () => {
  const directory = mkdtempSync(join(tmpdir(), "rhone-request-"));
  try {
    const keys = ensureKeys(directory);
    const applicant = applicantOf({ name: "a", underlay: "10.0.0.1" }, keys);
    const token = { id: "0".repeat(16), secret: new Uint8Array(24) };
    const request = makeJoinRequest(applicant, token, createPrivateKey(keys.chassis));
    const bytes = encodeMessage(request);
    assert.deepEqual(parseRequest(bytes), request);
    for (let size = 0; size < bytes.length - 1; size++) {
      assert.equal(parseRequest(bytes.subarray(0, size)), null);
    }
    for (const field of Object.keys(request)) {
      assert.equal(parseRequest(encodeMessage({ ...request, [field]: "-" })), null, field);
      assert.equal(parseRequest(encodeMessage({ ...request, [field]: ["a"] })), null, field);
    }
    assert.equal(parseRequest(Uint8Array.of(0xff, 0xfe)), null);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
