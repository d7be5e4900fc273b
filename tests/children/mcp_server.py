"""An MCP server that does what its tools are told to: obedient, slow, chatty or hostile.

Options: `version=V` to speak that version, `noise=N` to print so many other lines first, `deaf` not
to end at the end of its input, `pids=FILE` to note its pid, `no-tools`.
"""

import json
import os
import signal
import sys
import time

OPTIONS = dict(each.partition("=")[::2] for each in sys.argv[1:])
VERSION = OPTIONS.get("version", "2025-11-25")

#: Calls of `hold` that have no answer yet: (id, name).
held = []
#: The names of those that were cancelled.
cancelled = []
extra_tools = []
#: Answers to our own requests.
answers = []
#: The methods of what was received.
heard = []
level = None


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tool(name, properties=None, **more):
    schema = {"type": "object", "properties": properties or {}, **more.pop("schema", {})}
    return {"name": name, "description": f"The tool {name}.", "inputSchema": schema, **more}


NUMBERS = {"a": {"type": "integer"}, "b": {"type": "integer"}}
NAMED = {"name": {"type": "string"}}
TOOLS = [
    tool("add", NUMBERS, schema={"required": ["a", "b"]}),
    tool(
        "structured",
        outputSchema={"type": "object", "properties": {"answer": {"type": "integer"}}},
    ),
    tool("fail", schema={"$schema": "http://json-schema.org/draft-07/schema#"}),
    tool("hold", {**NAMED, "reports": {"type": "boolean"}}),
    tool("let_go", NAMED),
    tool("held"),
    tool("cancelled"),
    tool("steps", {"count": {"type": "integer"}}),
    tool("log", {"level": {"type": "string"}, "data": {"type": "string"}}),
    tool("learn", NAMED),
    tool("touch", {"uri": {"type": "string"}}),
    tool("ask", {"method": {"type": "string"}}),
    tool("answers"),
    tool("heard"),
    tool("print", {"lines": {"type": "array", "items": {"type": "string"}}}),
    tool("big", {"size": {"type": "integer"}}),
    tool("crash"),
    tool("sleep", {"seconds": {"type": "number"}}),
    tool("odd", schema={"properties": {"x": {"$ref": "http://elsewhere/#x"}}}),
]


def text(value):
    return {"content": [{"type": "text", "text": str(value)}]}


def call(id, name, args, meta):
    global held
    if name == "add":
        return text(args["a"] + args["b"])
    if name == "structured":
        return {**text("see below"), "structuredContent": {"answer": 42}}
    if name == "fail":
        return {**text("I will\nnot"), "isError": True}
    if name == "hold":
        if args.get("reports"):
            params = {"progressToken": meta["progressToken"], "progress": 1}
            send({"method": "notifications/progress", "params": params})
        held.append((id, args.get("name")))
        return None
    if name == "let_go":
        for each, its_name in held:
            if its_name == args.get("name"):
                send({"id": each, "result": text(f"held {its_name}")})
        held = [each for each in held if each[1] != args.get("name")]
        return text("let go")
    if name == "held":
        return {"content": [], "structuredContent": {"names": sorted(each[1] for each in held)}}
    if name == "cancelled":
        return {**text(cancelled), "structuredContent": {"names": cancelled}}
    if name == "steps":
        for step in range(args["count"]):
            if "progressToken" in meta:
                token = meta["progressToken"]
                params = {"progressToken": token, "progress": step + 1, "total": args["count"]}
                send({"method": "notifications/progress", "params": params})
        return text("done")
    if name == "log":
        send({"method": "notifications/message", "params": {"logger": "test", **args}})
        return text("logged")
    if name == "learn":
        extra_tools.append(tool(args["name"]))
        send({"method": "notifications/tools/list_changed"})
        return text("learned")
    if name == "touch":
        send({"method": "notifications/resources/updated", "params": {"uri": args["uri"]}})
        return text("touched")
    if name == "ask":
        send({"id": f"own-{len(answers)}", "method": args["method"]})
        return text("asked")
    if name == "answers":
        return {"content": [], "structuredContent": {"answers": answers}}
    if name == "heard":
        return {"content": [], "structuredContent": {"heard": heard, "level": level}}
    if name == "print":
        for line in args["lines"]:
            print(line, flush=True)
        return text("printed")
    if name == "big":
        return text("x" * args["size"])
    if name == "crash":
        sys.stderr.write("out of cheese\n")
        os._exit(7)
    if name == "sleep":
        time.sleep(args["seconds"])
        return text("slept")
    return text(f"called {name}")


def answer(id, method, params):
    global level
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}
        capabilities |= {"logging": {}, "prompts": {}, "tasks": {}}
        if "no-tools" in OPTIONS:
            del capabilities["tools"]
        return {
            "protocolVersion": VERSION,
            "capabilities": capabilities,
            "serverInfo": {"name": "test", "title": "A test", "version": "1"},
            "instructions": "Test it.",
        }
    if method == "tools/list":
        everything = [*TOOLS, *extra_tools]
        begin = int(params.get("cursor", 0))
        page = {"tools": everything[begin : begin + 7]}
        if begin + 7 < len(everything):
            page["nextCursor"] = str(begin + 7)
        return page
    if method == "tools/call":
        return call(id, params["name"], params.get("arguments", {}), params.get("_meta", {}))
    if method == "resources/read":
        return {"contents": [{"uri": params["uri"], "text": "content"}]}
    if method == "logging/setLevel":
        level = params["level"]
        return {}
    if method in ("resources/subscribe", "resources/unsubscribe", "ping"):
        return {}
    send({"id": id, "error": {"code": -32601, "message": f"no method {method}"}})
    return None


if "deaf" in OPTIONS:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "pids" in OPTIONS:
    with open(OPTIONS["pids"], "a") as file:
        file.write(f"{os.getpid()}\n")
for number in range(int(OPTIONS.get("noise", 0))):
    print(f"line {number}", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    heard.append(method)
    if method is None:
        answers.append(message)
    elif method == "notifications/cancelled":
        number = message["params"]["requestId"]
        cancelled += [name for id, name in held if id == number]
        held = [each for each in held if each[0] != number]
    elif "id" in message:
        result = answer(message["id"], method, message.get("params", {}))
        if result is not None:
            send({"id": message["id"], "result": result})
while "deaf" in OPTIONS:
    time.sleep(1)
