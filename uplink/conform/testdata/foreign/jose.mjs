// "Signature" and "The sealed record" of the page.
import crypto from 'node:crypto';
import { parse } from './json.mjs';

export class Fault extends Error {
  constructor(name) { super(name); this.fault = name; }
}

// decode reads base64url strictly: one value has one spelling.
export function decode(text) {
  const b = Buffer.from(text, 'base64url');
  if (!/^[A-Za-z0-9_-]*$/.test(text) || b.toString('base64url') !== text) throw new Fault('unsigned');
  return b;
}

const sha256 = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();

// thumbprint of a public key: RFC 7638, the required members in the order of their names.
export function thumbprint(key) {
  const { kty, crv, x, y } = key.export({ format: 'jwk' });
  const members = kty === 'OKP' ? { crv, kty, x } : { crv, kty, x, y };
  return sha256(Buffer.from(JSON.stringify(members))).toString('base64url');
}

const only = (object, names) => Object.keys(object).length === names.length && names.every((n) => n in object);

const TYPE = 'tapkeeper.message.v1';

// verify gives the payload of a message; find gives the one key that may sign it.
export function verify(message, find) {
  const text = message.toString('latin1'), part = text.split('.');
  if (part.length !== 3) throw new Fault('unsigned');
  const [head, payload, signature] = part.map(decode);
  let header;
  try { header = parse(head); } catch { throw new Fault('unsigned'); }
  if (header === null || typeof header !== 'object' || !only(header, ['alg', 'kid', 'typ']) || header.alg !== 'EdDSA' || header.typ !== TYPE) {
    throw new Fault('unsigned');
  }
  const key = find();
  if (!key || thumbprint(key) !== header.kid) throw new Fault('unknown_key');
  if (!crypto.verify(null, Buffer.from(part[0] + '.' + part[1]), key, signature)) throw new Fault('bad_signature');
  return payload;
}

export function sign(privateKey, payload) {
  const kid = thumbprint(crypto.createPublicKey(privateKey));
  const b64 = (s) => Buffer.from(s).toString('base64url');
  const signed = b64(JSON.stringify({ alg: 'EdDSA', kid, typ: TYPE })) + '.' + b64(payload);
  return Buffer.from(signed + '.' + crypto.sign(null, Buffer.from(signed), privateKey).toString('base64url'));
}

// open decrypts a sealed record of a payment.
export function open(privateKey, sealed, source, payment) {
  const part = sealed.split('.');
  if (part.length !== 5) throw new Error('record: want 5 parts');
  const [head, encrypted, iv, ciphertext, tag] = part.map(decode);
  const h = parse(head);
  if (!only(h, ['alg', 'enc', 'kid', 'epk', 'iss', 'sub']) || h.alg !== 'ECDH-ES' || h.enc !== 'A256GCM' || encrypted.length !== 0 ||
    iv.length !== 12 || tag.length !== 16 || h.kid !== thumbprint(crypto.createPublicKey(privateKey)) || h.iss !== source || h.sub !== payment) {
    throw new Error('record: header');
  }
  const publicKey = crypto.createPublicKey({ key: { kty: h.epk.kty, crv: h.epk.crv, x: h.epk.x, y: h.epk.y }, format: 'jwk' });
  const z = crypto.diffieHellman({ privateKey, publicKey });
  const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
  const key = sha256(u32(1), z, u32(7), Buffer.from('A256GCM'), u32(0), u32(0), u32(256));
  const gcm = crypto.createDecipheriv('aes-256-gcm', key, iv);
  gcm.setAAD(Buffer.from(part[0], 'ascii'));
  gcm.setAuthTag(tag);
  const record = Buffer.concat([gcm.update(ciphertext), gcm.final()]);
  if (record.length === 0 || record.length > 8192) throw new Error('record: length');
  return record;
}
