// The page `docs`: shows openapi.json, with each command of a service as an operation of its own.

"use strict";

/** The operation that sends one command, made from the one that sends any command of a service. */
function operationFor(operation, cmd, { schema, result, summary, description }) {
    const examples = Object.entries(operation.requestBody.content["application/json"].examples);
    const own = examples.filter(([, example]) => example.value.cmd === cmd);
    const shown = own.length > 1 ? { examples: Object.fromEntries(own) } : { example: own[0]?.[1].value };
    const answer = {
        type: "object",
        properties: { success: { const: true }, result: result ? { $ref: result } : {} },
    };
    return {
        ...operation,
        operationId: `${operation.operationId}_${cmd}`,
        summary,
        description,
        requestBody: {
            required: true,
            content: { "application/json": { schema: { $ref: schema }, ...shown } },
        },
        responses: {
            ...operation.responses,
            200: {
                description: "The result; or a failure with one line of text.",
                content: { "application/json": { schema: answer } },
            },
        },
    };
}

/** The document for people: paths differ after the `#`, which browsers do not send. */
function byCommand(openapi) {
    const paths = {};
    for (const [path, item] of Object.entries(openapi.paths)) {
        const commands = item.post?.["x-commands"];
        if (!commands) paths[path] = item;
        for (const [cmd, about] of Object.entries(commands ?? {})) {
            paths[`${path}#${cmd}`] = { post: operationFor(item.post, cmd, about) };
        }
    }
    const description = `${openapi.info.description}\n[openapi.json](openapi.json) is for programs.`;
    const servers = [{ url: new URL(".", document.baseURI).href }];
    return { ...openapi, info: { ...openapi.info, description }, servers, paths };
}

function follow(dark) {
    const apply = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
    dark.addEventListener("change", apply);
    apply();
}

/** What the viewer's elements lack for people who use a keyboard or a screen reader. */
const MISSING = [
    [".information-container > section", "aria-label", "About"],
    [".scheme-container > section", "aria-label", "Server"],
    ["#servers", "aria-label", "Server"],
    ["h3.opblock-tag, .models > h4", "aria-level", "2"],
    [".opblock h4, .dialog-ux h4", "aria-level", "3"],
    [".dialog-ux h3", "aria-level", "2"],
    [".dialog-ux .modal-ux", "role", "dialog"],
    [".dialog-ux .modal-ux", "aria-label", "Authorize"],
    [".dialog-ux .close-modal", "aria-label", "Close"],
    [".opblock h5", "aria-level", "4"],
    [".examples-select-element", "aria-label", "Example"],
    ["textarea.body-param__text", "aria-label", "Request body"],
    ["pre.microlight, .curl-command pre, .highlight-code > pre", "tabindex", "0"],
];

/** Add what is missing, now and whenever the viewer adds elements. */
function complete(viewer) {
    const add = () => {
        for (const [selector, name, value] of MISSING) {
            for (const each of viewer.querySelectorAll(selector)) {
                if (!each.hasAttribute(name)) each.setAttribute(name, value);
            }
        }
    };
    new MutationObserver(add).observe(viewer, { childList: true, subtree: true });
}

/** The viewer puts a link into each button that opens an operation. A button alone does the same. */
const PlainNames = ({ React }) => ({
    wrapComponents: {
        DeepLink: () => ({ text }) => React.createElement("span", null, text),
    },
});

async function show() {
    const response = await fetch("openapi.json");
    const openapi = await response.json();
    if (!response.ok) throw new Error(openapi.error);
    const viewer = document.getElementById("viewer");
    viewer.className = "";
    complete(viewer);
    SwaggerUIBundle({
        plugins: [PlainNames],
        spec: byCommand(openapi),
        dom_id: "#viewer",
        deepLinking: true,
        tryItOutEnabled: true,
        supportedSubmitMethods: ["post"], // events do not end
        defaultModelsExpandDepth: 0,
        defaultModelExpandDepth: 4,
        displayRequestDuration: true,
        validatorUrl: null, // it would send the document to another site
    });
}

follow(matchMedia("(prefers-color-scheme: dark)"));
show().catch((problem) => {
    const viewer = document.getElementById("viewer");
    viewer.className = "message";
    viewer.setAttribute("role", "alert");
    viewer.textContent = `openapi.json cannot be shown: ${problem.message}`;
});
