// An OpenID provider whose access tokens are JWTs for our resource. Its clients stand for people, and get tokens
// by their secret alone. Usage: node issuer.mjs PORT AUDIENCE SECONDS KEYS, where KEYS is a file with a JWKS.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [port, audience, seconds, keys] = process.argv.slice(2);
const client = (client_id) => ({
  client_id, client_secret: `secret-of-${client_id}`, grant_types: ["client_credentials"], redirect_uris: [],
  response_types: [],
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client("ana"), client("ben")],
  jwks: JSON.parse(readFileSync(keys, "utf8")),
  scopes: ["sutro:read", "sutro:cancel"],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        audience: resource, accessTokenFormat: "jwt", accessTokenTTL: Number(seconds),
        scope: "sutro:read sutro:cancel", jwt: { sign: { alg: "RS256" } },
      }),
      useGrantedResource: () => true,
      defaultResource: () => audience,
    },
  },
});
createServer(provider.callback()).listen(Number(port), "127.0.0.1");
