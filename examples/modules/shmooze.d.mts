/** Types of `shmooze.mjs`, the child's side of a module. */

/** JSON Schema 2020-12, of which `shmooze.mjs` itself checks the keys that are named here. */
export interface Schema {
  type?: string | readonly string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: readonly unknown[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  additionalProperties?: boolean;
  [keyword: string]: unknown;
}

/** What a module says of itself for `--describe`. */
export interface Description {
  title?: string;
  description?: string;
  /** The heading of an item, such as "{name}, {seconds} s". */
  label?: string;
  /** The arguments of `init`. */
  args?: Schema;
  /** Commands as clients send them, without `do_`. */
  commands?: Readonly<Record<string, { description?: string; args?: Schema; result?: Schema }>>;
  parameters?: Readonly<Record<string, Schema & { unit?: string; role?: string }>>;
  [extension: `x-${string}`]: unknown;
}

/**
 * A module. `Args` are those of `init`, `Parameters` what it shows, `State` what it saves.
 *
 * Further commands are methods named `do_…`, which take one object and return the result.
 */
export class Module<Args = {}, Parameters = Record<string, unknown>, State = unknown> {
  static description: Description;

  /** Connect and serve commands until the service hangs up; or answer `--describe`. */
  static run(argv?: readonly string[]): Promise<void>;

  /** Comes before `init`, if an earlier process of this module has saved a state. */
  restore?(args: { state: State }): unknown;
  init?(args: Args): unknown;
  play(): unknown;
  suspend(): unknown;
  rm(): unknown;

  /** Merge these into the parameters, which clients can see. */
  setParameters(parameters: Partial<Parameters>): void;
  /** Remove these parameters. */
  unsetParameters(names: readonly (keyof Parameters & string)[]): void;
  /** Save where this module is, in place of what was saved before. */
  save(state: State): void;
  /** Say that the work is done, and its result, as any JSON value. The service then ends this module. */
  result(value: unknown): void;
  /** Announce that this module is done. The service then hangs up, which ends the program. */
  leave(): void;
  /** Say why this module cannot continue. The service then ends it. */
  fail(text: string): void;
}
