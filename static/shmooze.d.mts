/**
 * What shmooze.js offers to pages, for people and for TypeScript. A program that imports shmooze.mjs has these
 * types at once. One that uses what a plain <script> defines begins with
 *
 *     /// <reference path="shmooze.d.mts" />
 */

/** A command as docs/protocol.md has it. */
export interface Command {
  cmd: string;
  args?: object;
}

export interface QueryOptions {
  /** Wait for the gateway instead of failing, if it is out of reach; the default is the endpoint's `retry`. */
  retry?: boolean;
}

export interface Module {
  readonly uid: string;
  readonly type: string;
  readonly state: "starting" | "suspended" | "playing" | "ending";
  /** How often it was started again, if ever. */
  readonly restarts?: number;
  /** When it is started again, in seconds since 1970, if it waits for that. */
  readonly next_attempt_at?: number;
  /** Integers beyond Number.MAX_SAFE_INTEGER are BigInts. */
  readonly parameters: Readonly<Record<string, any>>;
}

/** What a queue or pool has; `background` is null in a pool. All of it is frozen. */
export interface State {
  readonly modules: readonly Module[];
  readonly background: Module | null;
}

/** Why modules have ended, and when (ISO 8601, UTC), by uid. */
export type Gone = Readonly<Record<string, { readonly reason: string; readonly ended: string }>>;

/** Public settings. */
export type Settings = Record<string, any>;

/** One service. Deferred queries keep their order; forced ones wait for nothing. */
export class Endpoint {
  constructor(url: string);

  /** Milliseconds that deferred queries are held back after a failed request. */
  static pause: number;

  /** Milliseconds after which an answer is slow: the gateway is then probed. Two slow probes mean that it is lost. */
  static slow: number;

  /** Milliseconds without a byte after which a stream of events is replaced. */
  static silence: number;

  /** Milliseconds after which a stream gives way, if more than three are wanted; and until one is asked for again. */
  static turn: number;

  url: string;

  /** Did the service answer last time, a query or the stream of a subscription? */
  readonly alive: boolean;

  /** Called at each answer, with true if `alive` has changed; for a stream only then. */
  onAlive: ((changed: boolean) => void) | null;

  /** Called at each failed request, also where a stream is refused with a status from 500 on, or falls silent. */
  onDead: ((changed: boolean) => void) | null;

  /**
   * Whether integers beyond Number.MAX_SAFE_INTEGER are BigInts in results, too, which are then frozen. Default:
   * false, they are rounded. In what `subscribe` gives they always are BigInts.
   */
  exact: boolean;

  /**
   * Whether queries wait for the gateway while it is out of reach, 1,000 at the most, and are sent in order when
   * it is back. One that was cut off may then be carried out twice; after five times it fails. Default: false.
   */
  retry: boolean;

  /**
   * Ask, in one request with everything asked in this turn of the page's loop.
   *
   * The promise gives the result, or fails with an Error whose message is the reason; so do the callbacks, if
   * there are any. A failure that neither `err` nor anybody who waits for the promise hears of goes to the
   * console, and is no unhandled rejection.
   */
  deferQuery<Result = any>(
    data: Command,
    cb?: ((result: Result) => void) | null,
    err?: ((reason: string) => void) | null,
    options?: QueryOptions,
  ): Promise<Result>;

  /** Ask now, with all that waits. */
  forceQuery<Result = any>(
    data: Command,
    cb?: ((result: Result) => void) | null,
    err?: ((reason: string) => void) | null,
    options?: QueryOptions,
  ): Promise<Result>;

  /** Send what waits, now, 1,000 queries at the most. Done when it is answered, or soon if nothing waits; fails if the request does. */
  runQueries(cb?: (() => void) | null, err?: ((reason: string) => void) | null): Promise<void>;

  /**
   * Watch a queue or pool. `listener` is called soon and after each change; modules that have not changed stay
   * the same objects. `gone` tells of the modules whose last process has ended since the call before, unless the
   * page was away meanwhile. Returns a function that ends it.
   */
  subscribe(listener: (state: State, gone: Gone) => void): () => void;
}

/** The services by name. */
export const endpoints: Record<string, Endpoint>;

/** The public settings, once they have come. */
export const settings_data: Settings;

/** Gives `settings_data` once that and `endpoints` are filled. */
export const ready: Promise<Settings>;

type EndpointClass = typeof Endpoint;
type EndpointObject = Endpoint;

declare global {
  var Endpoint: EndpointClass;
  type Endpoint = EndpointObject;
  var endpoints: Record<string, EndpointObject>;
  var settings_data: Settings;
  var shmooze_ready: Promise<Settings>;

  /** Where the services are, with no slash at the end. A page may set it before the script. */
  var BASE_URL: string;

  /** A token to show, where no login has set a cookie. A page may set it before the script. */
  var shmooze_token: string;

  /**
   * Show `.disconnect-show`, hide `.disconnect-hide`. Called when the gateway is lost; may be replaced. A page may
   * call it: it is taken back when the gateway answers.
   */
  var lostConnection: () => void;

  /** The reverse. */
  var regainConnection: () => void;
}
