// JSON as RFC 8259 has it, with every name once in an object and a bound on depth.
const DEPTH = 32;

export function parse(bytes) {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  JSON.parse(text); // the grammar; what follows looks for duplicate names alone
  let at = 0;
  const space = () => { while (' \t\n\r'.includes(text[at]) && at < text.length) at++; };
  const string = () => {
    const from = at++;
    while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    return JSON.parse(text.slice(from, ++at));
  };
  const value = (depth) => {
    if (depth > DEPTH) throw new Error('too deep');
    space();
    if (text[at] === '"') return string();
    if (text[at] === '{') {
      const object = Object.create(null);
      at++;
      for (space(); text[at] !== '}'; space()) {
        if (text[at] === ',') { at++; space(); }
        const name = string();
        if (name in object) throw new Error('duplicate name');
        space();
        at++; // the colon
        object[name] = value(depth + 1);
      }
      at++;
      return object;
    }
    if (text[at] === '[') {
      const list = [];
      at++;
      for (space(); text[at] !== ']'; space()) {
        if (text[at] === ',') { at++; continue; }
        list.push(value(depth + 1));
      }
      at++;
      return list;
    }
    const from = at;
    while (at < text.length && !',]} \t\n\r'.includes(text[at])) at++;
    return JSON.parse(text.slice(from, at));
  };
  return value(0);
}
