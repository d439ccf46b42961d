// An OpenID Connect provider, npm's oidc-provider: `node oidc.mjs '<settings as JSON>'`.
// Prints {"url": ...} when it listens, and ends when stdin closes.
//
// Settings: redirect (where it sends people back to), client (id and secret), unverified (addresses it has not verified),
// seconds (how long a sign-in holds). Any password is right: whoever types an address is that person.
import http from "node:http";
import Provider from "oidc-provider";

const settings = JSON.parse(process.argv[2]);
const server = http.createServer((request, response) => answer(request, response));
let answer;

server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [
      {
        client_id: settings.client.id,
        client_secret: settings.client.secret,
        redirect_uris: [settings.redirect],
        post_logout_redirect_uris: [settings.redirect],
      },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: [] },
    conformIdTokenClaims: false, // the claims stand in the token, as they do with most providers
    cookies: { keys: ["a key for tests alone"] },
    ttl: { IdToken: settings.seconds, AccessToken: 3600, Session: 3600, Grant: 3600, Interaction: 3600 },
    async findAccount(_context, sub) {
      const email_verified = !settings.unverified.includes(sub);
      return { accountId: sub, claims: async () => ({ sub, email: sub, email_verified }) };
    },
  });
  answer = provider.callback();
  console.log(JSON.stringify({ url }));
});

process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
