// @ts-check
// Sign-in with an OpenID issuer: the authorization code flow with PKCE, as a public client. The library validates;
// this module sets the order.
import * as oauth from "./vendor/oauth4webapi.js";
import { kept } from "./store.js";

const BEGUN = "sign-in";

/** @param {{html: any, settings: any, query: URLSearchParams}} page */
export function way({ html, settings, query }) {
  const client = { client_id: settings.clientId };
  // The only redirect URI: the issuer returns codes to the page itself.
  const redirectUri = `${location.origin}/`;

  async function server() {
    const issuer = new URL(settings.issuer);
    const options = { ...local(issuer), signal: () => AbortSignal.timeout(20_000) };
    const answer = await oauth.discoveryRequest(issuer, options).catch(() => {
      throw new Error("The issuer could not be reached. Try again.");
    });
    return oauth.processDiscoveryResponse(issuer, answer);
  }

  return {
    View: ({ act, caller }) =>
      settings.clientId
        ? html`<p><button type="button" class="primary" onClick=${() => act()}>Sign in${caller ? " again" : ""}</button></p>`
        : html`<p class="notice">
            Sign-in is not configured. Set the deployment's parameter <code>DashboardClientId</code>.
          </p>`,

    /** Navigates to the issuer. */
    async signIn() {
      const { authorization_endpoint: endpoint } = await server();
      if (!endpoint) throw new Error("The issuer has no authorization endpoint. Check the deployment's issuer.");
      const begun = {
        verifier: oauth.generateRandomCodeVerifier(),
        state: oauth.generateRandomState(),
        nonce: oauth.generateRandomNonce(),
        place: location.hash,
      };
      kept.write(BEGUN, begun);
      const url = new URL(endpoint);
      const parameters = {
        client_id: settings.clientId,
        response_type: "code",
        redirect_uri: redirectUri,
        scope: settings.scope,
        state: begun.state,
        nonce: begun.nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(begun.verifier),
        code_challenge_method: "S256",
        ...(settings.audience ? { [settings.audience.parameter]: settings.audience.value } : {}),
      };
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      location.assign(url);
      return null;
    },

    /** Returns the token if the issuer has just returned the browser with a code that this tab requested. */
    async returned() {
      if (!query.has("code") && !query.has("error")) return null;
      const begun = kept.read(BEGUN);
      // A code and its verifier are valid once.
      kept.write(BEGUN, null);
      if (!begun) throw new Error("The sign-in did not start in this tab. Sign in again.");
      history.replaceState(null, "", `${location.pathname}${begun.place}`);
      const authorizationServer = await server();
      try {
        const validated = oauth.validateAuthResponse(authorizationServer, client, query, begun.state);
        const answer = await oauth.authorizationCodeGrantRequest(
          authorizationServer,
          client,
          oauth.None(),
          validated,
          redirectUri,
          begun.verifier,
          { ...local(new URL(authorizationServer.token_endpoint ?? "")), ...resource(settings) },
        );
        const result = await oauth.processAuthorizationCodeResponse(authorizationServer, client, answer, {
          expectedNonce: begun.nonce,
          requireIdToken: settings.scope.split(" ").includes("openid"),
        });
        return result.access_token;
      } catch (error) {
        const reason = error.error_description ?? error.error ?? error.message;
        throw new Error(`The issuer refused the sign-in: ${reason} Sign in again.`);
      }
    },
  };
}

/** RFC 8707 requires the resource in the token request, too. */
const resource = ({ audience }) =>
  audience?.parameter === "resource" ? { additionalParameters: { resource: audience.value } } : {};

/** Plain HTTP is allowed to this machine only. @param {URL} url */
const local = (url) =>
  ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname) ? { [oauth.allowInsecureRequests]: true } : {};
