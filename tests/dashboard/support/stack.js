// A local stack for the tests, on a free port and without stored data.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";

const WORKSPACE = fileURLToPath(new URL("../../..", import.meta.url));
/** The directory of the binaries, which `run` builds. */
const BINARIES = process.env.BINARIES ?? `${WORKSPACE}target/debug`;

const DATASET = `${WORKSPACE}tests/data/dependabot`;
/** The repositories of the dataset that answer with errors. @type {string[]} */
const TROUBLED = JSON.parse(readFileSync(`${DATASET}/special-repositories.json`, "utf8")).map((one) => one.repository);

/** Starts `cargo local`. Resolves when it serves requests. @param {string[]} [options] */
export async function start(options = []) {
  const child = spawn(`${BINARIES}/local`, ["--ephemeral", "--no-build", "--listen", "127.0.0.1:0", ...options], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (text) => (said += text));
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      const [, url] = /^ready (http:\S+)/.exec(line) ?? [];
      if (url) return url;
    }
    throw new Error(`the local stack did not start: ${said}`);
  })();
  const stack = new Stack(await ready, async () => {
    child.kill("SIGTERM");
    await ended;
  });
  // Drain its output, so that a full pipe does not block it.
  child.stdout.resume();
  return stack;
}

/** A running stack: its endpoints for faults, and its callers. */
export class Stack {
  /** @param {string} url @param {() => Promise<void>} stop */
  constructor(url, stop) {
    this.url = url;
    this.stop = stop;
  }

  /** @param {string} method @param {string} path @param {any} [body] @param {Record<string, string>} [headers] */
  async call(method, path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { ...(body ? { "content-type": "application/json" } : {}), ...headers },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** @param {any} fault */
  github = (fault) => this.call("POST", "/local/github/faults", fault);
  /** @param {any} fault */
  agent = (fault) => this.call("POST", "/local/agent/faults", fault);
  /** @param {any} fault */
  aws = (fault) => this.call("POST", "/local/aws/faults", fault);

  async heal() {
    for (const party of ["github", "agent", "aws"]) await this.call("DELETE", `/local/${party}/faults`);
  }

  /** A caller of the API outside the browser. @param {string} sub @param {string[]} [orgs] */
  async caller(sub, orgs = []) {
    const { token } = await this.call("POST", "/local/tokens", { sub, orgs });
    return new Caller(this, token);
  }
}

export class Caller {
  /** @param {Stack} stack @param {string} token */
  constructor(stack, token) {
    this.stack = stack;
    this.token = token;
  }

  /**
   * @param {string} method
   * @param {string} path below the owner
   * @param {any} [body]
   * @param {Record<string, string>} [headers]
   */
  ask(method, path, body, headers = {}) {
    return this.stack.call(method, `/v1/owners/me/${path}`, body, {
      authorization: `Bearer ${this.token}`,
      ...headers,
    });
  }

  /** Enables Security Agent for the repositories that answer, and waits for the refresh. */
  async enable() {
    const { repositories } = await this.ask("GET", "repositories");
    const good = repositories.filter(({ fullName }) => !TROUBLED.includes(fullName));
    const { initialSync } = await this.ask(
      "PUT",
      "config",
      { enabled: true, repositorySelection: "selected", selectedRepositoryIds: good.map(({ id }) => id) },
      { "if-match": "*" },
    );
    return this.end(initialSync.command.id);
  }

  /** Polls a command until it ends. @param {string} id */
  async end(id) {
    for (;;) {
      const command = await this.ask("GET", `commands/${id}`);
      if (command.completedAt) return command;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  async commands() {
    return (await this.ask("GET", "commands")).commands;
  }

  /** The first finding for this filter. @param {string} filter */
  async finding(filter) {
    const { findings } = await this.ask("GET", `findings?limit=1&${filter}`);
    return findings[0];
  }
}
