import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { VirtualClock } from "../virtual-clock.ts";
import { Gathering } from "./gathering.ts";

async function start(t: TestContext) {
  const clock = new VirtualClock();
  const { setTimer } = clock;
  let skippedMs = 0;
  const now = (): number => clock.now() + skippedMs;
  const compiledMs: number[] = [];
  const state = { durationMs: 0, waitingCount: 0, isCrowded: false, askDueMs: 0 };
  const gathering = new Gathering({
    ...{ now, setTimer, waiting: () => state, editionsMax: 8 },
    compile: () => {
      compiledMs.push(now());
      skippedMs += state.durationMs;
    },
  });
  t.after(() => gathering.stop());
  gathering.compile();
  /** When it was compiled after `run`, in milliseconds from then on. */
  const after = async (run: () => void): Promise<readonly number[]> => {
    const [startMs, before] = [now(), compiledMs.length];
    run();
    await clock.advance(100);
    return compiledMs.slice(before).map((atMs) => atMs - startMs);
  };
  await clock.advance(100);
  return { clock, state, gathering, compiledMs, after };
}

test("the first change after a while is compiled at once, those behind it together", async (t) => {
  const { clock, gathering, after } = await start(t);
  assert.deepEqual(await after(() => gathering.mark()), [0]);
  gathering.compile();
  await clock.advance(30);
  assert.deepEqual(
    await after(() => {
      gathering.mark();
      gathering.mark();
    }),
    [5],
  );
});

test("that is before anything else comes, where it took no time before", async (t) => {
  const { gathering, compiledMs } = await start(t);
  gathering.mark();
  assert.equal(compiledMs.length, 1, "not in the midst of what marks it");
  await Promise.resolve();
  assert.equal(compiledMs.length, 2);
});

test("generations do not come faster than at their pace", async (t) => {
  const { gathering, after } = await start(t);
  const gather = (): void => {
    gathering.compile();
    gathering.mark();
  };
  assert.deepEqual(await after(gather), [0, 25]);
});

test("what takes long leaves as much time to everything else", async (t) => {
  const { state, gathering, after } = await start(t);
  state.durationMs = 40;
  gathering.compile();
  assert.deepEqual(await after(() => gathering.follow()), [40]);
  state.durationMs = 30;
  gathering.compile();
  const hurry = (): void => {
    gathering.mark();
    gathering.hurry();
  };
  assert.deepEqual(await after(hurry), [30]);
});

test("what others ask about waits until they ask", async (t) => {
  const { clock, gathering, after } = await start(t);
  assert.deepEqual(await after(() => gathering.markAsked()), [30]);
  gathering.markAsked();
  await clock.advance(7);
  assert.deepEqual(await after(() => gathering.follow()), [0]);
  gathering.compile();
  assert.deepEqual(await after(() => gathering.follow()), [10], "once it may be");
});

test("where packets wait there is no pause", async (t) => {
  const { gathering, after } = await start(t);
  const hurry = (): void => {
    gathering.compile();
    gathering.mark();
    gathering.hurry();
  };
  assert.deepEqual(await after(hurry), [0, 0]);
});

test("too many that wait to begin hold up the next one, unless it is urgent", async (t) => {
  const { state, gathering, after } = await start(t);
  state.waitingCount = 4;
  assert.deepEqual(await after(() => gathering.mark()), []);
  assert.deepEqual(await after(() => gathering.compile(true)), [0]);
  await after(() => gathering.mark());
  const begin = (): void => {
    state.waitingCount = 3;
    gathering.onBegin();
  };
  assert.deepEqual(await after(begin), [0]);
  assert.deepEqual(await after(() => gathering.onBegin()), [], "there was no dam");
});

test("where they have waited for long, some more are compiled, which all may hold", async (t) => {
  const { state, gathering, after } = await start(t);
  state.waitingCount = 4;
  await after(() => gathering.mark());
  assert.deepEqual((await after(() => void (state.isCrowded = true))).length, 1);
  state.waitingCount = 7;
  assert.deepEqual(await after(() => gathering.mark()), []);
});

test("what we write is compiled when we may ask about it", async (t) => {
  const { clock, state, gathering, after } = await start(t);
  state.askDueMs = clock.now() + 40;
  assert.deepEqual(await after(() => gathering.markWritten()), [40]);
});

test("nothing is compiled after the end", async (t) => {
  const { gathering, after } = await start(t);
  const end = (): void => {
    gathering.mark();
    gathering.stop();
  };
  assert.deepEqual(await after(end), []);
});
