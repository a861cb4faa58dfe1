// @ts-check
// Imported first: removes the authorization code from the URL, so that history, bookmarks and screenshots do not
// keep it.

/** The query with which the issuer returned the browser, if it did. */
export const query = new URLSearchParams(location.search);

if (location.search) {
  history.replaceState(null, "", location.pathname + location.hash);
}
