// A real OpenID provider on this machine.
import { createServer } from "node:http";
import { once } from "node:events";
import Provider from "oidc-provider";

/** The tokens' audience. RFC 8707 requires a URI. */
export const AUDIENCE = "https://security-agent.example/api";
export const CLIENT = "dashboard";
/** The scopes that the API requires. */
export const SCOPE = "security-agent:read security-agent:write";

/** Starts the provider. `open` registers the page that signs people in. */
export async function start() {
  let answer = (_request, response) => response.writeHead(503).end();
  const server = createServer((request, response) => answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    /** The lifetime of new tokens, in seconds. */
    lifetime: 600,
    /** @param {string} page @param {string[]} [orgs] the organisations in every token */
    open(page, orgs = []) {
      const provider = new Provider(url, {
        clients: [
          {
            client_id: CLIENT,
            token_endpoint_auth_method: "none",
            grant_types: ["authorization_code"],
            response_types: ["code"],
            redirect_uris: [`${page}/`],
          },
        ],
        scopes: ["openid", ...SCOPE.split(" ")],
        pkce: { required: () => true },
        clientBasedCORS: (_ctx, origin) => origin === page,
        features: {
          resourceIndicators: {
            enabled: true,
            getResourceServerInfo: () => ({
              scope: SCOPE,
              audience: AUDIENCE,
              accessTokenTTL: this.lifetime,
              accessTokenFormat: "jwt",
              jwt: { sign: { alg: "RS256" } },
            }),
          },
        },
        extraTokenClaims: () => ({ orgs }),
      });
      answer = provider.callback();
    },
    stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}
