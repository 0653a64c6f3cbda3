// Reads the AsyncAPI document with AsyncAPI's own parser, and one that is broken, which must be refused.
import { readFile } from 'node:fs/promises';
import { Parser } from '@asyncapi/parser';

const path = process.argv[2];
const read = async (text) => {
  const { document, diagnostics } = await new Parser().parse(text, { source: path });
  const errors = diagnostics.filter(({ severity }) => severity === 0);
  return { document, errors };
};

const text = await readFile(path, 'utf8');
const { document, errors } = await read(text);
for (const { path, message } of errors) console.error(`${path.join('.')}: ${message}`);
const broken = JSON.parse(text);
delete Object.values(broken.operations)[0].action;
const refused = await read(JSON.stringify(broken));
if (!document || errors.length > 0 || refused.errors.length === 0) process.exit(1);
for (const channel of document.channels().all()) {
  console.log(`${channel.address()}: ${channel.messages().all().map((message) => message.name()).join(', ')}`);
}
