// @ts-check
// The words of the page. What the API says in sentences is shown as it is; these are for what it says in codes.

/** What was asked for. @param {any} command */
export function title(command) {
  switch (command.type) {
    case "sync":
      if (command.repository) return `Refresh of ${command.repository}`;
      return command.origin === "enable_initial_sync" ? "Initial refresh" : "Refresh of all repositories";
    case "dismiss_finding":
      return command.origin === "auto_dismiss" ? "Automatic dismissal" : "Dismissal";
    case "start_analysis":
      return command.origin === "auto_analysis" ? "Automatic analysis" : "Start of an analysis";
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

// A success needs no sentence from the API: what to do next is nothing. Here it is told what was done.
const DONE = {
  SYNC_COMPLETED: "Every repository in scope was refreshed, or has nothing to refresh.",
  FINDING_DISMISSED: "The alert is dismissed at GitHub, and the finding is ignored here.",
  FINDING_REOPENED: "The alert is open on GitHub again, and so is the finding.",
  ANALYSIS_LAUNCH_STARTED: "The agent has begun. The finding shows the result when there is one.",
  ANALYSIS_RESTART_STARTED: "The agent has begun anew. The finding shows the result when there is one.",
};

const DOING = {
  sync: "The alerts of each repository are being read from GitHub.",
  dismiss_finding: "GitHub is being asked to dismiss the alert.",
  start_analysis: "The agent is being asked to begin.",
  reopen_finding: "GitHub is being asked to reopen the alert.",
};

/** How a command stands, in a sentence. @param {any} command */
export function sentence(command) {
  if (command.message) return command.message;
  switch (command.status) {
    case "accepted":
      return command.attempts ? "It is waiting to go on." : "It is waiting for a worker.";
    case "running":
      return command.waitingUntil
        ? "It waits for GitHub's rate limit and goes on by itself."
        : (DOING[command.type] ?? "");
    default:
      return DONE[command.resultCode] ?? "";
  }
}

const EFFECT = {
  none: "Nothing was changed.",
  applied: "",
  unknown: "Whether it took effect at GitHub or the agent is not known. Look there before you start it again.",
};

/** What is known of a failure's effect, where that is not plain. @param {any} command */
export function effectSentence(command) {
  if (command.status === "failed" && command.effect === "applied") return "Part of it was done.";
  return command.status === "succeeded" ? "" : (EFFECT[command.effect] ?? "");
}

/** Why a repository is not fresh: what happened, and what to do. */
export const REPOSITORY_FAILURE = {
  GITHUB_AUTH_INVALID: "GitHub refused the app's credentials. Reinstall or reconnect the GitHub App.",
  REPOSITORY_UNAVAILABLE: "It is gone, blocked, moved or out of the app's reach. Check that the app may access it.",
  GITHUB_PERMISSION_MISSING: "The app may not read alerts here. Grant it that permission.",
  DEPENDABOT_ALERTS_DISABLED: "Dependabot alerts are off here, or it is archived: there is nothing to refresh.",
  GITHUB_RATE_LIMITED: "GitHub's rate limit left no room. Refresh again after it resets.",
  SYNC_FAILED: "GitHub failed, or gave an answer that makes no sense. Refresh again later.",
  SYNC_PARTIAL_FAILURE: "An alert could not be stored; the others were. Refresh again.",
};

/** Why an analysis has no result. */
export const ANALYSIS_FAILURE = {
  RUN_LOST: "The agent never reported back in time. Start it again.",
};

export const SEVERITIES = ["critical", "high", "medium", "low"];

export const REASONS = {
  fix_started: "A fix has been started",
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
  manual_review: "Have somebody review it",
  monitor: "Keep an eye on it",
};

export const ORIGIN = {
  manual: "by hand",
  dashboard_refresh: "from the dashboard",
  enable_initial_sync: "by saving the settings",
  auto_dismiss: "by itself, as the settings say",
  auto_analysis: "by itself, as the settings say",
};

/** @param {string} word */
export const capital = (word) => word[0].toUpperCase() + word.slice(1);

/** `1 finding`, `2 findings`, `2 repositories`. @param {number} number @param {string} one @param {string} [many] */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
