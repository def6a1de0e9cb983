// Drive an agent with consul, from npm, as its documentation shows. Usage: npm_consul.js HOST PORT
//
// Prints `ok NAME` or `not ok NAME: why` for each step.
"use strict";

const assert = require("node:assert/strict");
const Consul = require("consul");

const [host, port] = process.argv.slice(2);
const consul = new Consul({ host, port: Number(port) });

// Wait until the condition holds: the agent brings what it has into the catalog a moment later.
async function eventually(what, condition) {
  for (const end = Date.now() + 15000; Date.now() < end; ) {
    const got = await condition();
    if (got) return got;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited for ${what} in vain`);
}

// Follow something by blocking queries, and return a function that waits until what it tells satisfies a condition.
function follow(method, options) {
  const watch = consul.watch({ method, options: { wait: "10s", ...options }, backoffFactor: 100 });
  const seen = [];
  const errors = [];
  watch.on("change", (data) => seen.push(data));
  watch.on("error", (err) => errors.push(err));
  return {
    until: (what, condition) =>
      eventually(what, () => {
        if (errors.length) throw errors[0];
        return seen.some(condition);
      }),
    end: () => watch.end(),
  };
}

const steps = {
  async status() {
    assert.match(await consul.status.leader(), /^127\.0\.0\.1:\d+$/);
    assert.equal((await consul.status.peers()).length, 1);
    assert.equal((await consul.agent.self()).Config.NodeName, "dev");
    assert.deepEqual((await consul.agent.members()).map((m) => m.Name), ["dev"]);
    assert.deepEqual(await consul.catalog.datacenters(), ["dc1"]);
  },

  async kv() {
    assert.equal(await consul.kv.get("js/none"), undefined);
    assert.equal(await consul.kv.set("js/a", "1"), true);
    const got = await consul.kv.get("js/a");
    assert.equal(got.Value, "1");
    // What the agent answers with false is undefined here.
    assert.equal(await consul.kv.set({ key: "js/a", value: "2", cas: "0" }), undefined);
    assert.equal(await consul.kv.set({ key: "js/a", value: "2", cas: String(got.ModifyIndex), flags: 7 }), true);
    assert.equal((await consul.kv.get("js/a")).Flags, 7);
    assert.equal(await consul.kv.set("js/bytes", Buffer.from([0, 255, 128])), true);
    assert.deepEqual(await consul.kv.get({ key: "js/bytes", raw: true }), Buffer.from([0, 255, 128]));
    assert.equal(await consul.kv.set("js/ü and space", "x"), true);
    assert.deepEqual(await consul.kv.keys("js/"), ["js/a", "js/bytes", "js/ü and space"]);
    assert.equal((await consul.kv.get({ key: "js/", recurse: true })).length, 3);
    assert.equal(await consul.kv.del("js/a"), true);
    assert.equal(await consul.kv.del({ key: "js/", recurse: true }), true);
    await assert.rejects(consul.kv.keys("js/"), /not found/);
  },

  async watch_kv() {
    const keys = follow(consul.kv.get, { key: "js/watched" });
    try {
      for (const value of ["one", "two", "three"]) {
        await consul.kv.set("js/watched", value);
        await keys.until(value, (data) => data && data.Value === value);
      }
    } finally {
      keys.end();
    }
  },

  async service() {
    const healthy = follow(consul.health.service, { service: "jsweb", passing: true });
    const services = follow(consul.catalog.service.list, {});
    try {
      await consul.agent.service.register({
        name: "jsweb", id: "jsweb-1", address: "10.0.0.1", port: 8080, tags: ["v1"], meta: { owner: "js" },
        taggedAddresses: { wan: { address: "192.0.2.1", port: 80 } },
        checks: [{ ttl: "60s", status: "critical", name: "beat" }, { ttl: "1h", status: "passing", notes: "slow" }],
      });
      await services.until("the service in the catalog", (data) => data.jsweb && data.jsweb[0] === "v1");
      const mine = (await consul.agent.service.list())["jsweb-1"];
      assert.equal(mine.Port, 8080);
      assert.deepEqual(mine.Meta, { owner: "js" });
      assert.deepEqual(mine.TaggedAddresses.wan, { Address: "192.0.2.1", Port: 80 });
      await consul.agent.check.pass({ id: "service:jsweb-1:1", note: "fine" });
      await healthy.until("a healthy instance", (data) => data.length === 1 && data[0].Service.ID === "jsweb-1");
      await consul.agent.check.warn("service:jsweb-1:1");
      await consul.agent.check.fail("service:jsweb-1:1");
      await healthy.until("no healthy instance", (data) => data.length === 0);
      await eventually("the state", async () => (await consul.health.state("critical")).some((c) => c.ServiceID === "jsweb-1"));
      assert.equal((await consul.health.checks("jsweb")).length, 2);
      assert.ok((await consul.health.node("dev")).length >= 3);
      await consul.agent.service.maintenance({ id: "jsweb-1", enable: true, reason: "upgrade" });
      assert.ok((await consul.agent.check.list())["_service_maintenance:jsweb-1"]);
      await consul.agent.service.maintenance({ id: "jsweb-1", enable: false });
      await consul.agent.maintenance({ enable: true, reason: "reboot" });
      await consul.agent.maintenance({ enable: false });
      await consul.agent.service.deregister("jsweb-1");
      await services.until("the service to go", (data) => !data.jsweb);
    } finally {
      healthy.end();
      services.end();
    }
  },

  async check() {
    await consul.agent.check.register({ name: "jscheck", id: "jscheck", tcp: `${host}:${port}`, interval: "1h", timeout: "2s" });
    await eventually("the check to pass", async () => (await consul.agent.check.list()).jscheck.Status === "passing");
    await consul.agent.check.register({
      name: "jshttp", http: `http://${host}:${port}/v1/status/leader`, interval: "1h", header: { "X-Foo": ["bar"] }, method: "GET",
      successBeforePassing: 0, failuresBeforeCritical: 2, outputMaxSize: 100,
    });
    await eventually("the HTTP check to pass", async () => (await consul.agent.check.list()).jshttp.Status === "passing");
    for (const id of ["jscheck", "jshttp"]) await consul.agent.check.deregister(id);
  },

  async catalog() {
    await consul.catalog.register({
      node: "far", address: "10.9.9.9", nodeMeta: { external: "true" }, service: { service: "ext", port: 80, tags: ["t"] },
      check: { node: "far", checkID: "alive", name: "alive", status: "passing",
        definition: { http: "http://10.9.9.9/", intervalDuration: "10s", timeoutDuration: "1s" } },
    });
    assert.deepEqual((await consul.catalog.node.list({ "node-meta": "external:true", filter: 'Meta.external == "true"' })).map((n) => n.Node), ["far"]);
    assert.equal((await consul.catalog.node.services("far")).Services.ext.Port, 80);
    assert.equal((await consul.catalog.service.nodes("ext"))[0].Address, "10.9.9.9");
    assert.equal((await consul.health.service({ service: "ext", passing: true, tag: "t" }))[0].Checks.length, 1);
    assert.deepEqual(await consul.catalog.connect.nodes("ext"), []);
    await consul.catalog.deregister({ node: "far" });
    assert.deepEqual(await consul.catalog.service.nodes("ext"), []);
  },

  async session() {
    const { ID: id } = await consul.session.create({ name: "lock", ttl: "60s", behavior: "delete", lockdelay: "0s" });
    const info = await consul.session.get(id);
    assert.equal((Array.isArray(info) ? info[0] : info).TTL, "60s");
    await consul.session.renew(id);
    assert.deepEqual((await consul.session.list()).map((s) => s.ID), [id]);
    assert.deepEqual((await consul.session.node("dev")).map((s) => s.ID), [id]);
    assert.equal(await consul.kv.set({ key: "js/lock", value: "me", acquire: id }), true);
    const other = (await consul.session.create({ lockdelay: "0s" })).ID;
    assert.equal(await consul.kv.set({ key: "js/lock", value: "other", acquire: other }), undefined);
    assert.equal((await consul.kv.get("js/lock")).Session, id);
    assert.equal(await consul.kv.set({ key: "js/lock", value: "me", release: id }), true);
    assert.equal(await consul.kv.set({ key: "js/lock", value: "me", acquire: id }), true);
    await consul.session.destroy(id);
    assert.equal(await consul.kv.get("js/lock"), undefined);
    await consul.session.destroy(other);
  },

  async transaction() {
    const done = await consul.transaction.create([
      { KV: { Verb: "set", Key: "js/t", Value: "dg==" } },
      { KV: { Verb: "get", Key: "js/t" } },
    ]);
    assert.equal(done.Errors, null);
    assert.equal(done.Results.length, 2);
    await assert.rejects(
      consul.transaction.create([{ KV: { Verb: "set", Key: "js/u", Value: "" } }, { KV: { Verb: "get", Key: "js/none" } }]),
      (err) => err.statusCode === 409 || err.response.statusCode === 409,
    );
    assert.equal(await consul.kv.get("js/u"), undefined);
  },

  async event() {
    const fired = await consul.event.fire({ name: "deploy", payload: "v2" });
    const seen = await eventually("the event", async () => (await consul.event.list("deploy")).find((e) => e.ID === fired.ID));
    assert.equal(seen.Payload, "v2");
  },

  async query() {
    await consul.agent.service.register({ name: "jsq", address: "10.0.0.2", port: 1 });
    await eventually("the service in the catalog", async () => (await consul.catalog.service.nodes("jsq")).length);
    const { ID: query } = await consul.query.create({ name: "jsquery", service: { service: "jsq", onlypassing: true }, dns: { ttl: "10s" } });
    assert.equal((await consul.query.get(query)).DNS.TTL, "10s");
    const ran = await consul.query.execute({ query: "jsquery", near: "_agent" });
    assert.equal(ran.Nodes[0].Service.Address, "10.0.0.2");
    await consul.query.update({ query, name: "jsquery2", service: { service: "jsq" } });
    assert.deepEqual((await consul.query.list()).map((q) => q.Name), ["jsquery2"]);
    await consul.query.destroy(query);
    const { ID: template } = await consul.query.create({
      name: "find-", template: { type: "name_prefix_match", regexp: "^find-(.*)$" }, service: { service: "${match(1)}" },
    });
    assert.equal((await consul.query.execute("find-jsq")).Service, "jsq");
    await consul.query.destroy(template);
  },

  async errors() {
    await assert.rejects(consul.agent.service.deregister("nobody"), (err) => err.isResponse && err.statusCode === 404);
    await assert.rejects(consul.query.get("00000000-0000-0000-0000-000000000000"), (err) => err.statusCode === 404);
  },
};

(async () => {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
      console.log(`ok ${name}`);
    } catch (err) {
      process.exitCode = 1;
      console.log(`not ok ${name}: ${JSON.stringify(String(err))}`);
      console.error(err);
    }
  }
})();
