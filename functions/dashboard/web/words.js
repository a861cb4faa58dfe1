// @ts-check
// The words of the page for the API's codes. The API's sentences are shown unchanged.

/** The command in a few words. @param {any} command */
export function title(command) {
  switch (command.type) {
    case "sync":
      if (command.repository) return `Refresh of ${command.repository}`;
      return command.origin === "enable_initial_sync" ? "Initial refresh" : "Refresh of all repositories";
    case "dismiss_finding":
      return command.origin === "auto_dismiss" ? "Automatic dismissal" : "Dismissal";
    case "start_analysis":
      return command.origin === "auto_analysis" ? "Automatic analysis" : "Analysis start";
    case "reopen_finding":
      return "Reopening";
    default:
      return command.type;
  }
}

const STATUS = {
  accepted: "Queued",
  running: "Running",
  succeeded: "Succeeded",
  failed: "Failed",
  no_op: "Nothing to do",
};

/** @param {string} status */
export const statusWord = (status) => STATUS[status] ?? status;

// The API has no sentence for a success, because there is nothing to do next. These say what was done.
const DONE = {
  SYNC_COMPLETED: "Every repository in scope was refreshed or has nothing to refresh.",
  FINDING_DISMISSED: "The alert is dismissed on GitHub, and the finding is ignored here.",
  FINDING_REOPENED: "The alert is open on GitHub again, and so is the finding.",
  ANALYSIS_LAUNCH_STARTED: "The agent has started. The finding shows the result when it is ready.",
  ANALYSIS_RESTART_STARTED: "The agent has started again. The finding shows the result when it is ready.",
};

const DOING = {
  sync: "Reading each repository's alerts from GitHub.",
  dismiss_finding: "Dismissing the alert on GitHub.",
  start_analysis: "Starting the agent.",
  reopen_finding: "Reopening the alert on GitHub.",
};

/** A command's status in a sentence. @param {any} command */
export function sentence(command) {
  if (command.message) return command.message;
  switch (command.status) {
    case "accepted":
      return command.attempts ? "Waiting to continue." : "Waiting for a worker.";
    case "running":
      return command.waitingUntil
        ? "Waiting for a limit to end. It continues automatically."
        : (DOING[command.type] ?? "");
    default:
      return DONE[command.resultCode] ?? "";
  }
}

const EFFECT = {
  none: "Nothing has changed.",
  applied: "",
  unknown: "It is unknown whether this took effect. Check GitHub or the agent before you start it again.",
};

/** A failed command's effect, unless the status already says it. @param {any} command */
export function effectSentence(command) {
  if (command.status === "failed" && command.effect === "applied") return "Part of it took effect.";
  return command.status === "succeeded" ? "" : (EFFECT[command.effect] ?? "");
}

/** Why a repository could not be refreshed: what happened and what to do. */
export const REPOSITORY_FAILURE = {
  GITHUB_AUTH_INVALID: "GitHub rejected the app's credentials. Reinstall or reconnect the GitHub App.",
  REPOSITORY_UNAVAILABLE: "The repository was deleted, blocked or moved, or the app cannot access it. Check the app's access.",
  GITHUB_PERMISSION_MISSING: "The app may not read this repository's alerts. Grant it that permission.",
  DEPENDABOT_ALERTS_DISABLED: "Dependabot alerts are off, or the repository is archived. There is nothing to refresh.",
  GITHUB_RATE_LIMITED: "GitHub's rate limit is used up. Refresh again after it resets.",
  SYNC_FAILED: "GitHub failed or sent an invalid response. Refresh again later.",
  SYNC_PARTIAL_FAILURE: "An alert could not be stored; the others are. Refresh again.",
};

/** Why an analysis has no result. */
export const ANALYSIS_FAILURE = {
  RUN_LOST: "The agent did not report back in time. Start the analysis again.",
};

export const SEVERITIES = ["critical", "high", "medium", "low"];

export const REASONS = {
  fix_started: "A fix is in progress",
  inaccurate: "The alert is inaccurate",
  no_bandwidth: "No bandwidth to fix this",
  not_used: "The vulnerable code is not used",
  tolerable_risk: "The risk is tolerable",
};

export const FINDING_STATUS = { open: "Open", fixed: "Fixed", ignored: "Ignored", closed: "Withdrawn" };

export const ANALYSIS_STATUS = {
  none: "Not analysed",
  pending: "Analysis pending",
  running: "Analysis running",
  completed: "Analysed",
  failed: "Analysis failed",
};

export const EXPLOITABILITY = {
  exploitable: "Exploitable",
  not_exploitable: "Not exploitable",
  unknown: "Exploitability unknown",
};

export const SUGGESTION = {
  dismiss: "Dismiss the finding",
  open_pr: "Open a pull request with the fix",
  manual_review: "Review it manually",
  monitor: "Monitor it",
};

export const ORIGIN = {
  manual: "manual",
  dashboard_refresh: "from the dashboard",
  enable_initial_sync: "from saving the settings",
  auto_dismiss: "automatic",
  auto_analysis: "automatic",
};

/** @param {string} word */
export const capital = (word) => word[0].toUpperCase() + word.slice(1);

/** `1 finding`, `2 findings`, `2 repositories`. @param {number} number @param {string} one @param {string} [many] */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
