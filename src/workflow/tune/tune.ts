/**
 * `dmn tune`: begins a study or goes on with it, and is its coordinator until all trials are finished.
 *
 *   what was said ─ termsOf ─> Terms ─> NAME/study.journal <── coordinator <──> workers
 *                                                                   engine ──places──^
 *   Ctrl-C: workers give their trials back, with checkpoints; the same study goes on with --resume
 */
import * as path from "node:path";
import { commandLine } from "../../base/command-line.ts";
import type { Context } from "../../base/context.ts";
import { places } from "../../base/data-root.ts";
import { Interrupted, UserError } from "../../base/error.ts";
import { replaceWith } from "../../base/file.ts";
import { startCoordinator } from "../../tune/coordinator.ts";
import { keepWorkers } from "../../tune/engines/elastic.ts";
import { openStudyKeys, workerSecret } from "../../tune/keys.ts";
import { searchOf } from "../../tune/search.ts";
import { createStudy, isStudy, openStudy, readStudy, type StudyStore } from "../../tune/study-journal.ts";
import type { StudyView, Terms } from "../../tune/study.ts";
import { keepEnds } from "./keep-ends.ts";
import { openDisplay } from "./display.ts";
import { luckOf, type Luck } from "./overfitting.ts";
import { checkPlacement, openPlacement, type Placement } from "./place-workers.ts";
import { rootWords } from "./root-words.ts";
import { pageOf } from "./study-page.ts";
import { factsOf, type StudyFacts, type Watched } from "./study-facts.ts";
import { headline, luckText, reasonLines, trialTable } from "./study-text.ts";
import { codeVersion } from "../train-export.ts";
import { announce } from "./join.ts";
import { bindNetworkData } from "./network-work.ts";
import { loadUserStudy } from "./user-study.ts";
import { termsOf, type StudyWork, type TuneSaid } from "./tune-request.ts";
import { trialFolder } from "./worker.ts";

export interface TuneOptions {
  readonly name: string;
  readonly said: TuneSaid;
  readonly placement: Placement;
  /** 0: as configured. */
  readonly workers: number;
  /** All but the number of trials is as the study was begun. */
  readonly isResume: boolean;
}

export interface TuneReport {
  readonly name: string;
  /** Absolute path of the page. */
  readonly report: string;
  readonly states: StudyFacts["states"];
  /** Trials that nothing dominates, best in the first objective first. */
  readonly front: readonly { readonly trial: number; readonly values: readonly number[];
    readonly point: Readonly<Record<string, number | string>> }[];
  readonly volume: number;
  readonly luck: Luck | null;
  readonly seconds: number;
  readonly next: string;
}
export interface TuneAnswer { readonly text: string; readonly json: TuneReport }

/** Letters; a worker adds 22 to them, and a name has 64. */
const NAME_MOST = 40;
/** Front rows that are printed. */
const FRONT_SHOWN = 20;

/** Runs a study to its end. UserError for what can be mended; Interrupted with the command that goes on. */
export async function tune(options: TuneOptions, context: Context): Promise<TuneAnswer> {
  const startedAt = context.clock.now(), workers = options.workers || context.config.tune.workersMax;
  const store = await openStore(options, workers, context);
  try {
    if (store.tornBytes > 0) {
      context.log.warn({ bytes: store.tornBytes }, "the last write was not finished, and is left out");
    }
    if (!store.study.isOver) await runStudy(store, options, workers, context);
    return await conclude(store.study, startedAt, context);
  } finally { await store[Symbol.asyncDispose](); }
}

async function openStore({ name, said, isResume, placement }: TuneOptions, workers: number, context: Context):
Promise<StudyStore> {
  const { root, clock } = context, folder = places.study(root, name), isThere = isStudy(folder);
  if (isResume && !isThere) {
    throw new UserError(`there is no study "${name}" to go on with`,
      `begin one: dmn tune --dataset NAME --name ${name}`);
  }
  const study = isThere ? readStudy(folder) : null, begun = study?.terms ?? null;
  if (begun !== null && begun.name !== name) {
    throw new UserError(
      `${folder} holds the study "${begun.name}", whose trials lie in a folder of that name`,
      `go on with that one: ${commandLine(["dmn", "tune", "--name", begun.name, "--resume"])}; `
        + "a folder that was renamed is given its name back first");
  }
  if (begun === null && name.length > NAME_MOST) {
    throw new UserError(`a study's name has at most ${NAME_MOST} letters: its workers' begin with it`,
      `for example: --name ${name.slice(0, NAME_MOST)}`);
  }
  const terms = isResume ? resumed(begun!, said) : await termsOf({ name, said, workers, begun }, context);
  if (isResume && study!.finishedCount < terms.trials) await checkInputs(terms, context);
  checkPlacement(placement, terms.work as StudyWork, terms.sampler.name);
  const store = { folder, terms, at: clock.now() };
  return begun === null ? createStudy(store) : openStudy(store);
}

/** Said now, and not by workers that come and go. */
async function checkInputs({ name, version, work }: Terms, { root }: Context): Promise<void> {
  if (version !== codeVersion()) {
    throw new UserError(`study "${name}" was begun with dmn ${version}, and this is ${codeVersion()}`,
      "go on with that version, or begin another study: another --name");
  }
  const told = work as StudyWork;
  await (told.kind === "file" ? loadUserStudy(told) : bindNetworkData(root, told));
}

/** Everything is in the journal; only the number of trials may be said anew. */
function resumed(begun: Terms, { trials, request, ...said }: TuneSaid): Terms {
  const named = Object.entries({ ...request, ...said }).find(([, value]) => value !== undefined);
  if (named !== undefined) {
    throw new UserError(`--resume goes on as study "${begun.name}" was begun, and ${named[0]} is said anew`,
      `leave it out: dmn tune --name ${begun.name} --resume; or begin another study: another --name`);
  }
  if (trials !== undefined && trials < begun.trials) {
    throw new UserError(`study "${begun.name}" has ${begun.trials} trials, and cannot have fewer`,
      `give --trials more than ${begun.trials}, or leave it out`);
  }
  return { ...begun, trials: trials ?? begun.trials };
}

async function runStudy(store: StudyStore, options: TuneOptions, workers: number,
  context: Context): Promise<void> {
  const { name, placement } = options;
  const { root, clock, config, signal, log } = context, { study, folder } = store;
  const keys = openStudyKeys(folder), host = placement.host ?? config.tune.host;
  using display = openDisplay(study, clock);
  const say = (sentence: string): void => { log.info(sentence); };
  await using coordinator = await startCoordinator({ store, search: searchOf(study.begun), clock, host,
    port: config.tune.portBase, keys, workersMax: workers, say });
  await announce(folder, coordinator.address);
  const placed = await openPlacement({ placement, terms: study.terms, address: coordinator.address,
    secret: workerSecret(keys), workersMax: workers }, context);
  await using engine = placed.engine;
  using _ = keepEnds(study, (trial) => trialFolder(root, name, trial));
  const ending = new AbortController();
  const keeping = keepWorkers({ engine, coordinator, ask: (id) => placed.ask(id), study: placed.key, clock,
    signal: ending.signal, say: (sentence) => { display.say(sentence); },
    ...placed.keep });
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = (): void => { reject(new Interrupted(resumeCommand(options, root))); };
  signal.addEventListener("abort", stop);
  let thrown: unknown = null;
  try {
    signal.throwIfAborted();
    await Promise.race([coordinator.over, stopped, keeping.then(() => coordinator.over)]);
    // Workers are told that it is over, and end.
    await Promise.race([keeping, stopped]);
  } catch (error) { thrown = error; throw error; } finally {
    signal.removeEventListener("abort", stop);
    // Workers give back what they have, before they are ended.
    await coordinator.stop();
    ending.abort();
    await keeping.catch((error: unknown) => {
      if (error !== thrown) log.warn({ error: String(error) }, "placing workers ended");
    });
  }
}

/** Where workers are placed is not in the journal: it is said again. */
function resumeCommand({ name, workers, placement }: TuneOptions, root: string): string {
  const { on, cluster, shared, host } = placement;
  const words = Object.entries({ on: on === "local" ? null : on, cluster, shared, host,
    workers: workers === 0 ? null : String(workers) });
  return commandLine(["dmn", "tune", "--name", name, "--resume",
    ...words.flatMap(([flag, word]) => (word === null ? [] : [`--${flag}`, word])), ...rootWords(root)]);
}

/** Writes the page, and says what came of it. */
async function conclude(view: Watched, startedAt: number, context: Context): Promise<TuneAnswer> {
  const { root, clock } = context, { terms } = view;
  const luck = luckOf(view, (trial) => trialFolder(root, terms.name, trial));
  const report = await writePage(view, luck, context);
  const facts = factsOf(view)(), front = [...facts.front].sort((a, b) => a.losses[0] - b.losses[0]);
  if (facts.states.failed > 0 && facts.states.failed === facts.finished) {
    throw new UserError(
      `all ${facts.states.failed} trials of study "${terms.name}" failed; ${reasonLines(view)[0]}`,
      commandLine(["dmn", "tune", "status", "--name", terms.name, ...rootWords(root)]));
  }
  const words = front.length === 0 ? ["status", "--name", terms.name]
    : ["best", "--name", terms.name, "--prefer", terms.objectives[0].name];
  const next = commandLine(["dmn", "tune", ...words, ...rootWords(root)]);
  const shown = front.slice(0, FRONT_SHOWN).map(({ number }) => view.trial(number));
  const text = [`study ${terms.name}: ${headline(view, facts, null)}`, "",
    shown.length > 0 ? trialTable(view, shown) : "no trial is complete and feasible", ...reasonLines(view),
    ...(front.length > FRONT_SHOWN ? [`... and ${front.length - FRONT_SHOWN} more on the front`] : []),
    "", ...(luck === null ? [] : luckText(luck)), `next: ${next}`, `report: ${report}`].join("\n");
  return { text, json: { name: terms.name, report, states: facts.states, volume: facts.volume, luck, next,
    seconds: (clock.now() - startedAt) / 1000,
    front: front.map(({ number }) => ({ trial: number, values: view.trial(number).values ?? [],
      point: view.trial(number).point })) } };
}

export async function writePage(view: StudyView, luck: Luck | null, { root }: Pick<Context, "root">):
Promise<string> {
  const place = path.join(places.reports(root), `tune-${view.terms.name}.html`);
  await replaceWith(place, pageOf(view, luck, root));
  return place;
}
