// Calls with the official client for Node.js, as `drive.py` has them made.
//
//     OPENAI_BASE_URL=http://127.0.0.1:4100/v1 OPENAI_API_KEY=KEY node client.mjs MODEL
//
// It prints a JSON array with one object for each call: what its client saw of it, or `trouble`. What a call
// used whose client did not ask for usage is worked out as in `streams.py`, which see.
//
// It judges what a client sees while it streams, and nothing that arrives as telemetry. The package of
// `package.json` must be installed beside it: its series 6, as 7 needs Node.js 22.

import OpenAI from "openai";

const PROMPTS = ["Write two sentences about mountains.", "Compte de un à dix. 🦊", "Name five animals."];
const LIMITS = [9, 24, 40];
// Long enough that the answer is not over when its client hangs up.
const LONG = {
  messages: [{ role: "user", content: "Tell a long story about a railway." }],
  max_tokens: 64,
  temperature: 0,
};
const HANGS_UP_AFTER = 3;
const CHOICES = 2;

const [model] = process.argv.slice(2);
const client = new OpenAI({ maxRetries: 0 });

function request(number, more = {}) {
  const messages = [{ role: "user", content: PROMPTS[number] }];
  return { model, messages, max_tokens: LIMITS[number], temperature: 0, ...more };
}

async function main() {
  const outcomes = [];
  for (const number of PROMPTS.keys()) {
    const body = request(number);
    outcomes.push(...(await attempted(`node untold ${number}`, (label) => untold(label, body))));
  }
  const withChoices = request(0, { n: CHOICES });
  const atOnce = [...PROMPTS.keys()].map((number) => [`node stream ${number}`, request(number)]);
  atOnce.push(["node n=2", withChoices]);
  const streams = atOnce.map(([label, body]) => attempted(label, () => streamed(label, body)));
  outcomes.push(...(await Promise.all(streams)).flat());
  for (const how of ["left", "aborted"]) {
    outcomes.push(...(await attempted(`node ${how}`, (label) => cancelled(label, how))));
  }
  process.stdout.write(JSON.stringify(outcomes) + "\n");
}

async function attempted(label, make) {
  try {
    return await make(label);
  } catch (error) {
    return [{ label, trouble: `not answered: ${error}` }];
  }
}

// A call that is told of its usage, and a stream of the same that is not.
async function untold(label, body) {
  const whole = await client.chat.completions.create(body).withResponse();
  const usage = whole.data.usage;
  const twin = called(`${label} twin`, whole.response, usage.prompt_tokens, usage.completion_tokens);
  const { data, response } = await client.chat.completions.create({ ...body, stream: true }).withResponse();
  const seen = await read(data);
  if (seen.usages.length > 0 || seen.withoutChoices > 0) {
    return [twin, { label, trouble: `the client did not ask for usage, and saw ${JSON.stringify(seen)}` }];
  }
  let output;
  if (seen.finish.join() === "length") {
    output = body.max_tokens;
  } else if (seen.text === whole.data.choices[0].message.content) {
    output = usage.completion_tokens;
  } else {
    return [twin, { label, trouble: `nobody can tell what it used: ${JSON.stringify(seen)}` }];
  }
  return [twin, called(label, response, usage.prompt_tokens, output)];
}

// A stream whose client asks for usage. Some servers report each of several choices by itself.
async function streamed(label, body) {
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  const { data, response } = await client.chat.completions.create(asked).withResponse();
  const seen = await read(data);
  const choices = body.n ?? 1;
  const output = seen.usages.reduce((sum, usage) => sum + usage.completion_tokens, 0);
  const isAtLimit = seen.finish.every((reason) => reason === "length");
  if (seen.finish.length !== choices || ![1, choices].includes(seen.usages.length) || seen.text === "") {
    return [{ label, trouble: `${choices} choices were asked for: ${JSON.stringify(seen)}` }];
  }
  if (isAtLimit && output !== choices * body.max_tokens) {
    return [{ label, trouble: `${output} tokens, but ${choices} choices ended at ${body.max_tokens}` }];
  }
  return [called(label, response, seen.usages.at(-1).prompt_tokens, output)];
}

// A stream that its client leaves in the middle, by leaving the loop or by the controller.
async function cancelled(label, how) {
  const asked = { model, ...LONG, stream: true };
  const { data, response } = await client.chat.completions.create(asked).withResponse();
  let chunks = 0;
  let isOver = true;
  for await (const _ of data) {
    chunks += 1;
    if (chunks < HANGS_UP_AFTER) {
      continue;
    }
    isOver = false;
    if (how === "left") {
      break;
    }
    data.controller.abort();
  }
  if (isOver) {
    return [{ label, trouble: "it was over before its client could hang up" }];
  }
  return [{ ...called(label, response, 0, 0), cancelled: true }];
}

async function read(stream) {
  const seen = { text: "", finish: [], usages: [], withoutChoices: 0 };
  for await (const chunk of stream) {
    if (chunk.usage) {
      seen.usages.push(chunk.usage);
    }
    seen.withoutChoices += chunk.choices.length === 0 ? 1 : 0;
    for (const choice of chunk.choices) {
      seen.text += choice.delta.content ?? "";
      if (choice.finish_reason) {
        seen.finish.push(choice.finish_reason);
      }
    }
  }
  return seen;
}

function called(label, response, input, output) {
  const headers = Object.fromEntries([...response.headers].filter(([name]) => name.startsWith("x-genops-")));
  const awu = headers["x-genops-awu"];
  if (awu === undefined) {
    return { label, trouble: "no x-genops-awu header in the answer" };
  }
  return { label, awu, headers, input_tokens: input, output_tokens: output, cancelled: false };
}

await main();
