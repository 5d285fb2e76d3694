// What a client is to do, as the runner says it in the environment, and how both TypeScript SDKs do it.
export const task = JSON.parse(process.env.INTEROP_TASK);

export async function agreed(request) {
  const names = Object.keys(request.params.requestedSchema.properties);
  return { action: "accept", content: Object.fromEntries(names.map((name) => [name, true])) };
}

export async function explore(client) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const shown = [];
  for (const [name, args] of task.calls) shown.push(JSON.stringify(await client.callTool({ name, arguments: args })));
  const { resources } = await client.listResources();
  await client.readResource({ uri: resources[0].uri });
  const { prompts } = await client.listPrompts();
  await client.getPrompt({ name: prompts[0].name });
  await client.close();
  console.log(JSON.stringify({ tools, shown, resources: resources.length, prompts: prompts.length }));
}
