"""Drive an agent with py-consul, as its documentation shows. Usage: py_consul.py HOST PORT

Prints `ok NAME` or `not ok NAME: why` for each step.
"""

import asyncio
import sys
import threading
import time
import traceback

import consul
import consul.aio
import consul.exceptions

HOST, PORT = sys.argv[1], int(sys.argv[2])
c = consul.Consul(host=HOST, port=PORT)
STEPS = []


def step(f):
    STEPS.append(f)
    return f


def eventually(what, condition):
    """Wait until the condition holds: the agent brings what it has into the catalog a moment later."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError(f"waited for {what} in vain")


def blocked(read):
    """Start a read that blocks, and return a function that waits for its answer."""
    answer = []
    t = threading.Thread(target=lambda: answer.append(read()), daemon=True)
    t.start()

    def wait():
        t.join(15)
        assert answer, "the blocking read was not woken"
        return answer[0]

    return wait


def raises(kind, f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except kind as e:
        return str(e)
    raise AssertionError(f"{kind.__name__} was not raised")


@step
def status():
    assert c.status.leader().count(":") == 1, c.status.leader()
    assert len(c.status.peers()) == 1, c.status.peers()
    assert c.agent.self()["Config"]["NodeName"] == "dev"
    assert [m["Name"] for m in c.agent.members()] == ["dev"]
    assert c.catalog.datacenters() == ["dc1"]


@step
def kv():
    index, data = c.kv.get("py/none")
    assert data is None and int(index) > 0, (index, data)
    assert c.kv.put("py/a", "1") is True
    index, data = c.kv.get("py/a")
    assert data["Value"] == b"1" and data["Flags"] == 0 and data["LockIndex"] == 0, data
    assert c.kv.put("py/a", "2", cas=0) is False
    assert c.kv.put("py/a", "2", cas=data["ModifyIndex"]) is True
    assert c.kv.put("py/bytes", b"\x00\xff\x80", flags=42) is True
    data = c.kv.get("py/bytes")[1]
    assert data["Value"] == b"\x00\xff\x80" and data["Flags"] == 42, data
    assert c.kv.put("py/empty", "") is True
    assert c.kv.get("py/empty")[1]["Value"] is None
    assert c.kv.put("py/ü and space", "x") is True
    assert c.kv.get("py/ü and space")[1]["Key"] == "py/ü and space"
    assert c.kv.put("py/sub/x", "y") is True
    assert c.kv.get("py/", keys=True, separator="/")[1] == ["py/a", "py/bytes", "py/empty", "py/sub/", "py/ü and space"]
    assert [p["Key"] for p in c.kv.get("py/s", recurse=True)[1]] == ["py/sub/x"]
    assert c.kv.delete("py/a", cas=1) is False
    assert c.kv.delete("py/a") is True
    assert c.kv.delete("py/", recurse=True) is True
    assert c.kv.get("py/", recurse=True)[1] is None


@step
def kv_blocks():
    c.kv.put("watch", "old")
    index = c.kv.get("watch")[0]
    wait = blocked(lambda: consul.Consul(host=HOST, port=PORT).kv.get("watch", index=index, wait="10s"))
    c.kv.put("watch", "new")
    woken, data = wait()
    assert int(woken) > int(index) and data["Value"] == b"new", (woken, index, data)


@step
def service():
    check = consul.Check.ttl("30s")
    assert c.agent.service.register(
        "pyweb", service_id="pyweb-1", address="10.0.0.1", port=8080, tags=["v1", "blue"], meta={"owner": "py"},
        weights={"Passing": 3, "Warning": 1}, check=check, enable_tag_override=True,
        tagged_addresses={"lan": {"address": "10.0.0.1", "port": 8080}}, extra_checks=[consul.Check.ttl("1h")],
    )
    mine = c.agent.services()["pyweb-1"]
    assert (mine["Service"], mine["Tags"], mine["Port"]) == ("pyweb", ["v1", "blue"], 8080), mine
    assert mine["EnableTagOverride"] is True and mine["Weights"] == {"Passing": 3, "Warning": 1}, mine
    assert mine["TaggedAddresses"]["lan"] == {"Address": "10.0.0.1", "Port": 8080}, mine
    assert c.agent.service_definition("pyweb-1")["ContentHash"]
    assert set(c.agent.checks()) >= {"service:pyweb-1:1", "service:pyweb-1:2"}, c.agent.checks()
    assert list(c.agent.services(filter_expr='Service == "pyweb"')) == ["pyweb-1"]
    eventually("the service in the catalog", lambda: c.catalog.service("pyweb")[1])
    assert sorted(c.catalog.services()[1]["pyweb"]) == ["blue", "v1"], c.catalog.services()
    assert c.health.service("pyweb", passing=True)[1] == []
    index = c.health.service("pyweb", passing=True)[0]
    wait = blocked(lambda: consul.Consul(host=HOST, port=PORT).health.service("pyweb", passing=True, index=index, wait="10s"))
    assert c.agent.check.ttl_pass("service:pyweb-1:1", "fine")
    assert c.agent.check.ttl_pass("service:pyweb-1:2")
    wait()
    found = eventually("the service to pass", lambda: c.health.service("pyweb", passing=True, tag="v1")[1])
    assert found[0]["Service"]["Address"] == "10.0.0.1" and found[0]["Node"]["Node"] == "dev", found
    assert len(found[0]["Checks"]) == 3, found[0]["Checks"]
    assert c.health.service("pyweb", tag=["v1", "red"])[1] == []
    assert c.agent.check.ttl_warn("service:pyweb-1:1", "hm")
    eventually("a warning", lambda: [x for x in c.health.checks("pyweb")[1] if x["Status"] == "warning" and x["Output"] == "hm"])
    assert c.agent.check.ttl_fail("service:pyweb-1:1", "broken")
    eventually("a failure", lambda: [x for x in c.health.state("critical")[1] if x["ServiceID"] == "pyweb-1"])


@step
def maintenance():
    assert c.agent.service.maintenance("pyweb-1", True, "upgrade")
    eventually("maintenance", lambda: [x for x in c.health.node("dev")[1] if x["CheckID"] == "_service_maintenance:pyweb-1" and x["Notes"] == "upgrade"])
    assert c.agent.service.maintenance("pyweb-1", False)
    assert c.agent.maintenance(True, "reboot")
    eventually("node maintenance", lambda: [x for x in c.health.node("dev")[1] if x["CheckID"] == "_node_maintenance"])
    assert c.agent.maintenance(False)


@step
def check():
    assert c.agent.check.register("pycheck", check=consul.Check.tcp(HOST, PORT, "1h", timeout="2s"), check_id="pycheck", service_id="pyweb-1", notes="n")
    eventually("the check to pass", lambda: c.agent.checks()["pycheck"]["Status"] == "passing")
    url = f"http://{HOST}:{PORT}/v1/status/leader"
    assert c.agent.check.register("pyhttp", check=consul.Check.http(url, "1h", timeout="2s", header={"x-foo": ["bar"]}, deregister="1h"))
    eventually("the HTTP check to pass", lambda: c.agent.checks()["pyhttp"]["Status"] == "passing")
    raises(consul.exceptions.ConsulException, c.agent.check.register, "pyscript", check=consul.Check.script(["/bin/true"], "10s"))
    for name in "pycheck", "pyhttp":
        assert c.agent.check.deregister(name)
    assert not {"pycheck", "pyhttp"} & set(c.agent.checks())


@step
def deregister():
    index = c.catalog.services()[0]
    wait = blocked(lambda: consul.Consul(host=HOST, port=PORT).catalog.services(index=index, wait="10s"))
    assert c.agent.service.deregister("pyweb-1")
    wait()
    eventually("the service to go", lambda: not c.catalog.service("pyweb")[1])


@step
def catalog():
    assert c.catalog.register("far", "10.9.9.9", service={"Service": "ext", "Tags": ["t"], "Port": 80})
    assert [n["Node"] for n in c.catalog.nodes(filter_expr='Address == "10.9.9.9"')[1]] == ["far"]
    assert c.catalog.nodes(node_meta={"external": "true"})[1] == []
    node = c.catalog.node("far")[1]
    assert node["Services"]["ext"]["Port"] == 80 and node["Node"]["Address"] == "10.9.9.9", node
    assert c.catalog.node("nowhere")[1] is None
    assert [n["Node"] for n in c.catalog.nodes(near="dev")[1]] and c.catalog.service("ext", near="_agent")[1]
    assert c.catalog.deregister("far")
    assert c.catalog.service("ext")[1] == []


@step
def session():
    sid = c.session.create("lock", ttl=60, behavior="delete", lock_delay=0)
    info = c.session.info(sid)[1]
    assert (info["Name"], info["TTL"], info["Behavior"], info["Node"]) == ("lock", "60s", "delete", "dev"), info
    assert c.session.renew(sid)["ID"] == sid
    assert [s["ID"] for s in c.session.list()[1]] == [sid]
    assert [s["ID"] for s in c.session.node("dev")[1]] == [sid]
    assert c.kv.put("py/lock", "me", acquire=sid) is True
    held = c.kv.get("py/lock")[1]
    assert held["Session"] == sid and held["LockIndex"] == 1, held
    other = c.session.create("other", lock_delay=0)
    assert c.kv.put("py/lock", "other", acquire=other) is False
    assert c.kv.put("py/lock", "me", release=sid) is True
    assert c.kv.put("py/lock", "other", acquire=other) is True
    assert c.kv.put("py/mine", "me", acquire=sid) is True
    assert c.session.destroy(sid) and c.session.destroy(other)
    assert c.kv.get("py/mine")[1] is None
    assert "Session" not in c.kv.get("py/lock")[1]
    assert c.session.info(sid)[1] is None
    raises(consul.exceptions.NotFound, c.session.renew, sid)
    said = raises(consul.exceptions.ConsulException, c.kv.put, "py/lock", "me", acquire=sid)
    assert said.startswith("500") and "invalid session" in said, said


@step
def txn():
    done = c.txn.put([
        {"KV": {"Verb": "set", "Key": "py/t", "Value": "dg=="}},
        {"KV": {"Verb": "get", "Key": "py/t"}},
    ])
    assert done["Errors"] is None and len(done["Results"]) == 2 and done["Results"][1]["KV"]["Value"] == "dg==", done
    said = raises(consul.exceptions.ClientError, c.txn.put, [{"KV": {"Verb": "set", "Key": "py/u", "Value": ""}}, {"KV": {"Verb": "get", "Key": "py/none"}}])
    assert "409" in said and "OpIndex" in said, said
    assert c.kv.get("py/u")[1] is None


@step
def event():
    fired = c.event.fire("deploy", "v2")
    assert fired["Name"] == "deploy" and fired["ID"], fired
    seen = eventually("the event", lambda: [e for e in c.event.list("deploy")[1] or [] if e["ID"] == fired["ID"]])
    assert seen[0]["Payload"] == b"v2" and seen[0]["LTime"] > 0, seen


@step
def query():
    c.agent.service.register("pyq", address="10.0.0.2", port=1, tags=["a"], check=None)
    eventually("the service in the catalog", lambda: c.catalog.service("pyq")[1])
    qid = c.query.create("pyq", name="pyquery", ttl="10s", onlypassing=True, tags=["a"], nearestn=2)["ID"]
    got = c.query.get(qid)[0]
    assert got["Name"] == "pyquery" and got["DNS"]["TTL"] == "10s" and got["Service"]["OnlyPassing"] is True, got
    ran = c.query.execute("pyquery")
    assert ran["Service"] == "pyq" and ran["Nodes"][0]["Service"]["Address"] == "10.0.0.2" and ran["Failovers"] == 0, ran
    assert c.query.update(qid, "pyq", name="pyquery2")
    assert [q["Name"] for q in c.query.list()] == ["pyquery2"]
    assert c.query.delete(qid) and c.query.list() == []
    tid = c.query.create("${match(1)}", name="find-", regexp="^find-(.*)$")["ID"]
    assert c.query.explain("find-pyq")["Query"]["Service"]["Service"] == "pyq"
    assert c.query.execute("find-pyq")["Service"] == "pyq"
    assert c.query.delete(tid)


@step
def coordinate():
    assert [d["Datacenter"] for d in c.coordinate.datacenters()] == ["dc1"]
    nodes = eventually("coordinates", lambda: c.coordinate.nodes()[1])
    assert nodes[0]["Node"] == "dev" and len(nodes[0]["Coord"]["Vec"]) == 8, nodes


@step
def mesh():
    assert c.config.set("service-defaults", "pyq", {"Protocol": "http"}) is True
    assert c.config.get("service-defaults", "pyq")["Protocol"] == "http"
    assert c.discovery_chain.get("pyq")["Chain"]["Protocol"] == "http"
    assert c.config.delete("service-defaults", "pyq")
    intentions = c.connect.intentions
    assert intentions.upsert("a", "pyq", action="deny", description="no") is True
    assert intentions.check("a", "pyq") is False
    assert intentions.read("a", "pyq")["Description"] == "no"
    assert intentions.match("destination", "pyq")["pyq"][0]["SourceName"] == "a"
    assert intentions.delete("a", "pyq") and intentions.read("a", "pyq") is None
    assert c.connect.ca.roots()["Roots"][0]["Active"] is True
    leaf = c.agent.connect.ca.leaf("pyq")
    assert leaf["ServiceURI"].endswith("/svc/pyq") and "PRIVATE KEY" in leaf["PrivateKeyPEM"], leaf


@step
def operator():
    servers = c.operator.raft_config()["Servers"]
    assert [s["Node"] for s in servers] == ["dev"] and servers[0]["Leader"] is True, servers
    assert "Gauges" in c.agent.metrics()
    assert c.agent.reload()


@step
def errors():
    assert "400" in raises(consul.exceptions.BadRequest, c.agent.service.register, "")
    assert "400" in raises(consul.exceptions.BadRequest, c.catalog.services, index="x")


@step
def consistency():
    for mode in "default", "consistent", "stale":
        client = consul.Consul(host=HOST, port=PORT, consistency=mode, dc="dc1")
        assert client.catalog.nodes()[1][0]["Node"] == "dev", mode


@step
def asynchronous():
    async def main():
        async with consul.aio.Consul(host=HOST, port=PORT) as a:
            await a.kv.put("py/async", "1")
            index, data = await a.kv.get("py/async")
            waiting = asyncio.ensure_future(a.kv.get("py/async", index=index, wait="10s"))
            await a.kv.put("py/async", "2")
            _, data = await asyncio.wait_for(waiting, 15)
            assert data["Value"] == b"2", data

    asyncio.run(main())


failed = False
for f in STEPS:
    try:
        f()
        print("ok", f.__name__, flush=True)
    except Exception as e:  # every step is tried
        failed = True
        print(f"not ok {f.__name__}: {type(e).__name__}: {str(e)[:2000]!r}", flush=True)
        traceback.print_exc()
sys.exit(failed)
