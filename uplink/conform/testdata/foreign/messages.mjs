// "Envelope", "Units" and the fields of what comes up.
import { open } from './jose.mjs';

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, NIL = '00000000-0000-0000-0000-000000000000';
const DIGEST = /^[0-9a-f]{64}$/;

export const id = (v) => typeof v === 'string' && ID.test(v) && v !== NIL;
export const time = (v) => typeof v === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(v) && !Number.isNaN(Date.parse(v));
const integer = (low, high) => (v) => Number.isSafeInteger(v) && v >= low && v <= high;
const amount = integer(1, 999999999999);
const count = integer(0, Number.MAX_SAFE_INTEGER);
const number = integer(1, Number.MAX_SAFE_INTEGER);
const day = (v) => typeof v === 'string' && /^\d{4}-\d\d-\d\d$/.test(v) && !Number.isNaN(Date.parse(v)) &&
  new Date(v + 'T00:00:00Z').toISOString().startsWith(v);
const currency = (v) => typeof v === 'string' && /^[A-Z]{3}$/.test(v);
const printable = (bytes) => (v) => typeof v === 'string' && v !== '' && Buffer.byteLength(v) <= bytes && !/[\p{C}\p{Zl}\p{Zp}]/u.test(v);
const digest = (v) => typeof v === 'string' && DIGEST.test(v);
const object = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);
const optional = (check) => (v) => v === undefined || check(v);

const head = (v) => object(v) && number(v.sequence) && digest(v.hash);
const summary = (v) => object(v) && count(v.count) && count(v.sum_minor) && digest(v.hash);
const range = (v) => summary(v) && (v.of === 'payments' || v.of === 'refunds') && optional(id)(v.from) && optional(id)(v.to) &&
  (v.from === undefined || v.to === undefined || v.from < v.to);

const payment = {
  payment_id: id, order_ref: printable(128), amount_minor: amount, currency, business_day: day, accepted_at: time,
  abandoned: optional((v) => Array.isArray(v) && v.length <= 16 && v.every((a) => typeof a === 'string' && /^[0-9a-f]{40}$/.test(a))),
};
const heads = { head: optional(head), known: optional(head) };

const kinds = {
  authorisation: { fields: payment, records: ['02'] },
  advice: { fields: payment, records: ['01'] },
  report: { fields: payment, records: ['03', '05'] },
  reversal: { fields: payment, records: ['04', undefined] },
  refund: { fields: { ...payment, refund_id: id }, records: ['06', undefined] },
  query: { fields: { payment_id: id } },
  reconciliation: {
    fields: {
      business_day: day, currency, count, sum_minor: count, hash: digest, refunds: summary, through: optional(number),
      ranges: optional((v) => Array.isArray(v) && v.length <= 24 && v.every(range)), ...heads,
    },
  },
  echo: { fields: heads },
  state: { fields: { online: (v) => typeof v === 'boolean', session: number, since: time, version: printable(64), waiting: count } },
};

export const isMoney = (kind) => kind in kinds && kinds[kind].records !== undefined;

// envelope checks everything but the data and gives the kind.
export function envelope(e) {
  if (!object(e) || e.specversion !== '1.0' || e.datacontenttype !== 'application/json' || !id(e.id) || !time(e.time) ||
    typeof e.source !== 'string' || typeof e.type !== 'string') return undefined;
  if (e.sequence !== undefined && !(typeof e.sequence === 'string' && /^\d{20}$/.test(e.sequence) && number(Number(e.sequence)))) return undefined;
  const m = /^tapkeeper\.([a-z_]{1,32})\.v1$/.exec(e.type);
  return { kind: m ? m[1] : '', known: m !== null && m[1] in kinds };
}

// data checks the data of a genuine message; it throws when that is not acceptable.
export function data(e, kind, decryption) {
  const d = e.data, rules = kinds[kind];
  if (!object(d)) throw new Error('data: not an object');
  for (const [name, check] of Object.entries(rules.fields)) {
    if (!check(d[name])) throw new Error(`data: ${name}`);
  }
  if (rules.records) {
    if (e.sequence === undefined) throw new Error('sequence: missing');
    if (!rules.records.includes(d.kind) || (d.kind === undefined) !== (d.record === undefined)) throw new Error('data: kind and record');
    if (d.record !== undefined) open(decryption, d.record, e.source, d.payment_id);
  }
  const subject = d.payment_id ?? d.business_day;
  if (e.subject !== subject) throw new Error('subject');
  return d;
}
