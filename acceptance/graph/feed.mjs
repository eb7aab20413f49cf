// Microsoft's own client pages, filters, follows the delta, changes state and
// sends batches. What it saw goes to stdout as JSON.
import { BatchRequestContent, BatchResponseContent, Client, GraphError, PageIterator } from "@microsoft/microsoft-graph-client";

const { CARILLON_URL: url, CARILLON_TOKEN: token, CARILLON_HOST: host } = process.env;
const client = Client.init({
  baseUrl: url,
  defaultVersion: "beta",
  customHosts: new Set([new URL(url).hostname]),
  authProvider: (done) => done(null, token),
});
const seen = {};
const titles = (items) => items.map((n) => n["@removed"] ? `-${n["@removed"].reason}` : n.payload.visualContent.title + (n.readState ? "*" : ""));

// Five in one batch, each after the one before, and one that must fail.
const note = (i) => JSON.stringify({ targetHostName: host, appNotificationId: `n'${i}`, groupName: i % 2 ? "odd" : "even", payload: { visualContent: { title: `t${i}` } } });
const json = { "Content-Type": "application/json" };
const steps = [1, 2, 3, 4, 5].map((i) => ({ id: `${i}`, request: new Request(`${url}/me/notifications`, { method: "POST", headers: json, body: note(i) }), dependsOn: i > 1 ? [`${i - 1}`] : undefined }));
steps.push({ id: "bad", request: new Request(`${url}/me/notifications`, { method: "POST", headers: json, body: "{}" }), dependsOn: ["5"] });
steps.push({ id: "after", request: new Request(`${url}/me/notifications`, { method: "GET" }), dependsOn: ["bad"] });
const batch = new BatchResponseContent(await client.api("/$batch").post(await new BatchRequestContent(steps).getContent()));
seen.batch = ["1", "2", "3", "4", "5", "bad", "after"].map((id) => batch.getResponseById(id).status);
const position = batch.getResponseById("5").headers.get("ReadWriteConsistencyToken");

const collect = async (first) => {
  const items = [];
  const pages = new PageIterator(client, first, (item) => { items.push(item); return true; });
  await pages.iterate();
  return { items, delta: pages.getDeltaLink() };
};
const list = await client.api("/me/notifications").header("ReadWriteConsistencyToken", position).top(2).count().get();
seen.count = list["@odata.count"];
seen.firstPage = list.value.length;
seen.paged = titles((await collect(list)).items);
seen.filtered = titles((await client.api("/me/notifications").filter("groupName eq 'odd' and readState eq false").orderby("creationDateTime asc").get()).value);
seen.selected = Object.keys((await client.api("/me/notifications").select(["readState", "groupName"]).top(1).get()).value[0]).sort();

const whole = await collect(await client.api("/me/notifications/delta").top(2).get());
seen.whole = titles(whole.items);
const id = whole.items[0].id;
const patched = await client.api(`/me/notifications/${id}`).responseType("raw").patch({ readState: true });
seen.patch = patched.status;
const keyed = await client.api("/me/notifications(appNotificationId='n''2')").get();
seen.keyed = keyed.payload.visualContent.title;
const removed = await client.api(`/me/notifications/${keyed.id}`).responseType("raw").delete();
seen.delete = removed.status;
const after = await collect(await client.api(whole.delta).header("ReadWriteConsistencyToken", removed.headers.get("ReadWriteConsistencyToken")).get());
seen.after = titles(after.items);
seen.rest = titles((await collect(await client.api(after.delta).get())).items);

seen.errors = [];
for (const call of [() => client.api("/me/notifications").filter("title eq 'x'").get(), () => client.api("/me/notifications").expand("x").get(), () => client.api(`/me/notifications/${keyed.id}`).get()]) {
  try {
    await call();
    seen.errors.push("none");
  } catch (e) {
    seen.errors.push(`${e instanceof GraphError} ${e.statusCode} ${e.code}`);
  }
}
console.log(JSON.stringify(seen));
