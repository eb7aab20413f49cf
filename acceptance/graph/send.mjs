// Microsoft's own client sends a notification and reads it back. What it saw
// goes to stdout as JSON.
import { Client, GraphError, ResponseType } from "@microsoft/microsoft-graph-client";

const { CARILLON_URL: url, CARILLON_TOKEN: token, CARILLON_UNS: unsId, CARILLON_BODY: text } = process.env;

const client = Client.init({
  baseUrl: url, // https: the client sends tokens nowhere else
  defaultVersion: "beta",
  customHosts: new Set([new URL(url).hostname]),
  authProvider: (done) => done(null, token),
});

const named = (request) => (unsId ? request.header("X-UNS-ID", unsId) : request);

const seen = {};
const answer = await named(client.api("/me/notifications/")).responseType(ResponseType.RAW).post(JSON.parse(text));
seen.status = answer.status;
seen.headers = Object.fromEntries(answer.headers);
seen.body = await answer.json();

const location = url + answer.headers.get("location");
seen.read = await named(client.api(location))
  .header("ReadWriteConsistencyToken", answer.headers.get("readwriteconsistencytoken"))
  .get();

seen.list = await named(client.api("/me/notifications")).top(10).get();

try {
  await named(client.api("/me/notifications")).post({ targetHostName: JSON.parse(text).targetHostName });
} catch (e) {
  seen.error = { graph: e instanceof GraphError, statusCode: e.statusCode, code: e.code, message: e.message, requestId: e.requestId };
}
console.log(JSON.stringify(seen));
