// @ts-check
// Imported before everything else: an authorization code must not stay in the address, where history, bookmarks and
// screenshots would keep it.

/** What the issuer sent along with the browser, if it has just come back from there. */
export const query = new URLSearchParams(location.search);

if (location.search) {
  history.replaceState(null, "", location.pathname + location.hash);
}
