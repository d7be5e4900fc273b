/**
 * Types of shmooze.js. A program that imports shmooze.mjs gets them automatically. A program that uses the
 * globals of a plain <script> starts with
 *
 *     /// <reference path="shmooze.d.mts" />
 */

/** A command packet: see docs/reference/protocol.md. */
export interface Command {
  cmd: string;
  args?: object;
}

export interface QueryOptions {
  /** Wait while the gateway is unreachable instead of failing. Default: the endpoint's `retry`. */
  retry?: boolean;
}

export interface Module {
  readonly uid: string;
  readonly type: string;
  readonly state: "waiting" | "held" | "starting" | "suspended" | "playing" | "ending";
  /** What it was added with. Missing if the type hides it. */
  readonly args?: Readonly<Record<string, any>>;
  /** The name of the token with which it was added. */
  readonly by: string | null;
  /** When it was added, in ISO 8601, UTC. */
  readonly added: string;
  /** What it is called, in place of its type. */
  readonly label?: string;
  /** Why it is held. Missing if it is not. */
  readonly held?: string;
  /** What it waits for beside its turn. Missing if there is nothing of the kind. */
  readonly waits?: string;
  /** Its priority. Missing if that is 0. */
  readonly priority?: number;
  /** Votes for it to come sooner, and to be skipped. Missing if there are none. */
  readonly ups?: number;
  readonly skips?: number;
  /** When it may start, and when it ends if it has not begun, in ISO 8601, UTC. */
  readonly not_before?: string;
  readonly expires?: string;
  /** Uids of modules that have to be done before it starts. */
  readonly after?: readonly string[];
  /** A name that it shares with others. */
  readonly batch?: string;
  readonly window?: Window;
  /** The id of the schedule that has added it. */
  readonly schedule?: string;
  /**
   * Whether its own web server answers. "resting": its process was ended since nobody needed it, and the next
   * request starts it. Missing if it has none, or no process.
   */
  readonly web?: "loading" | "ready" | "resting";
  /** The number of restarts. Missing if there were none. */
  readonly restarts?: number;
  /** The time of the next restart attempt, in seconds since 1970. Missing if none is scheduled. */
  readonly next_attempt_at?: number;
  /** Current values. Integers beyond Number.MAX_SAFE_INTEGER are BigInts. */
  readonly parameters: Readonly<Record<string, any>>;
}

/** The modules of a queue or pool, in order. `background` is always null for a pool. The whole object is frozen. */
export interface State {
  readonly modules: readonly Module[];
  readonly background: Module | null;
  /** How the service is paused. Missing or null if it is not. */
  readonly paused?: { readonly suspend: boolean } | null;
  /** What becomes of modules that are done. Missing or null: they end. */
  readonly repeat?: "off" | "one" | "all" | null;
}

/** The part of each day in which a module plays alone, in times such as "08:00". */
export interface Window {
  readonly from: string;
  readonly to: string;
  /** Such as "mon". Missing: every day. */
  readonly days?: readonly string[];
  readonly tz?: string;
}

/** Why and when modules ended, by uid. `ended` is in ISO 8601, UTC. */
export type Gone = Readonly<Record<string, { readonly reason: string; readonly ended: string }>>;

/** The public settings. */
export type Settings = Record<string, any>;

/** One service. Deferred queries are sent in order; forced queries are sent at once. */
export class Endpoint {
  constructor(url: string);

  /** Milliseconds that deferred queries wait after a failed request. Default: 500. */
  static pause: number;

  /**
   * Milliseconds after which a pending request makes the page probe the gateway. It is considered lost after two
   * probes that take as long. Default: 10,000.
   */
  static slow: number;

  /** Milliseconds without data after which an event stream is replaced. Default: 35,000. */
  static silence: number;

  /** Milliseconds after which an event stream yields to another, if a page needs more than three. Default: 2,000. */
  static turn: number;

  url: string;

  /** Whether the service answered last time, a query or the event stream of a subscription. */
  readonly alive: boolean;

  /** Called after each answer to a request, with true if `alive` has changed. For event streams only on a change. */
  onAlive: ((changed: boolean) => void) | null;

  /** Called after each failed request, and when an event stream fails with a status of 500 or more or times out. */
  onDead: ((changed: boolean) => void) | null;

  /**
   * Whether integers beyond Number.MAX_SAFE_INTEGER are BigInts in results of queries. Such results are frozen.
   * Default: false, they are rounded. In states of `subscribe` they are always BigInts.
   */
  exact: boolean;

  /**
   * Whether queries wait while the gateway is unreachable (up to 1,000) and are sent in order when it is back.
   * A query whose request was interrupted is sent again, so its command may run twice; it fails after the fifth
   * attempt. Default: false.
   */
  retry: boolean;

  /**
   * Send a command, in one request with all others deferred in the same turn of the event loop.
   *
   * The promise resolves to the result, or rejects with an Error whose message is the reason. `cb` and `err` get
   * the same. A failure is logged to the browser's console if there is neither `err` nor a handler of the promise;
   * it is never an unhandled rejection.
   */
  deferQuery<Result = any>(
    data: Command,
    cb?: ((result: Result) => void) | null,
    err?: ((reason: string) => void) | null,
    options?: QueryOptions,
  ): Promise<Result>;

  /** Send a command now, together with all deferred ones. */
  forceQuery<Result = any>(
    data: Command,
    cb?: ((result: Result) => void) | null,
    err?: ((reason: string) => void) | null,
    options?: QueryOptions,
  ): Promise<Result>;

  /**
   * Send all deferred commands now, up to 1,000. The promise resolves when they are answered (soon, if there are
   * none), and rejects if the request fails.
   */
  runQueries(cb?: (() => void) | null, err?: ((reason: string) => void) | null): Promise<void>;

  /**
   * Watch a queue or pool. `listener` is called with the current state soon, and after each change. Modules that
   * have not changed stay the same objects. `gone` has the modules that ended since the previous call; it may be
   * incomplete after the connection was lost. Returns a function that ends the subscription.
   */
  subscribe(listener: (state: State, gone: Gone) => void): () => void;
}

/** All services, by name. */
export const endpoints: Record<string, Endpoint>;

/** The public settings. Empty until they are loaded. */
export const settings_data: Settings;

/** Resolves to `settings_data` when it and `endpoints` are filled. */
export const ready: Promise<Settings>;

type EndpointClass = typeof Endpoint;
type EndpointObject = Endpoint;

declare global {
  var Endpoint: EndpointClass;
  type Endpoint = EndpointObject;
  var endpoints: Record<string, EndpointObject>;
  var settings_data: Settings;
  var shmooze_ready: Promise<Settings>;

  /** The URL of the gateway, without a trailing slash. A page may set it before it loads the script. */
  var BASE_URL: string;

  /** The token to send, for pages without a login cookie. A page may set it before it loads the script. */
  var shmooze_token: string;

  /**
   * Show elements of class `disconnect-show` and hide those of `disconnect-hide`. Called when the gateway is lost.
   * A page may replace it or call it; the effect is undone when the gateway answers.
   */
  var lostConnection: () => void;

  /** Undo `lostConnection`. Called when the gateway is back. */
  var regainConnection: () => void;
}
