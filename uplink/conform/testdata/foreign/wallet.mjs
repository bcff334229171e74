// The wallet: who may say what, posting, answers. Its ledger is memory.
import crypto from 'node:crypto';
import { Fault, sign, verify } from './jose.mjs';
import { parse } from './json.mjs';
import { data, envelope, id, isMoney } from './messages.mjs';

const LARGEST = 65536, BATCH = 32, LEAF = 8;
const sha256 = (b) => crypto.createHash('sha256').update(b).digest('hex');

export class Wallet {
  constructor({ signing, decryption, terminals }) {
    Object.assign(this, { signing, decryption, terminals });
    this.messages = new Map(); // terminal|id → {hash, answer}
    this.numbers = new Set(); // terminal|number
    this.payments = new Map();
    this.refunds = new Map();
    this.heads = new Map();
    this.dropped = {};
  }

  // handle gives what to publish for a publication.
  handle(topic, payload) {
    const m = /^tapkeeper\/v1\/([a-z0-9-]{1,32})\/([a-z0-9-]{1,32})\/up\/([a-z_]+)$/.exec(topic);
    if (!m || payload.length > LARGEST) { this.drop(m ? 'too_large' : 'elsewhere'); return []; }
    const from = { address: `/tapkeeper/${m[1]}/${m[2]}`, down: `tapkeeper/v1/${m[1]}/${m[2]}/down/`, segment: m[3] };
    if (from.segment !== 'batch') return this.one(from, payload);
    const lines = payload.toString('latin1').split('\n');
    if (lines.length > BATCH || lines.includes('')) { this.drop('too_large'); return []; }
    const receipts = lines.flatMap((l) => this.one(from, Buffer.from(l, 'latin1')).map(([, answer]) => answer));
    return this.join(from, receipts);
  }

  join(from, receipts) {
    const out = [];
    let open = [];
    const flush = () => {
      if (open.length > 0) out.push([from.down + 'batch', Buffer.from(open.map((b) => b.toString('latin1')).join('\n'), 'latin1')]);
      open = [];
    };
    for (const r of receipts) {
      if (open.reduce((n, b) => n + b.length + 1, r.length) > LARGEST) flush();
      open.push(r);
    }
    flush();
    return out;
  }

  drop(name) { this.dropped[name] = (this.dropped[name] ?? 0) + 1; }

  // one answers one message, or drops it under its name.
  one(from, raw) {
    try {
      const e = this.genuine(from, raw);
      return [this.answer(from, raw, e)];
    } catch (err) {
      this.drop(err instanceof Fault ? err.fault : 'malformed');
      return [];
    }
  }

  genuine(from, raw) {
    const payload = verify(raw, () => this.terminals.get(from.address));
    const e = parse(payload), about = envelope(e);
    if (!about) throw new Fault('malformed');
    if (!about.known) throw new Fault('unknown_type');
    if (e.source !== from.address || e.audience !== undefined) throw new Fault('elsewhere');
    const segment = from.segment === 'batch' ? isMoney(about.kind) : about.kind === from.segment;
    if (!segment) throw new Fault('elsewhere');
    e.kind = about.kind;
    return e;
  }

  answer(from, raw, e) {
    const link = { answers: e.id, answers_sha256: sha256(raw) };
    let d;
    try {
      d = data(e, e.kind, this.decryption);
    } catch {
      if (!isMoney(e.kind) || !id(e.subject) || e.sequence === undefined) throw new Fault('bad_data');
      return this.seal(from, 'receipt', e.subject, this.receipt(link, { payment_id: e.subject }, e, refused('2A', 'unknown')));
    }
    switch (e.kind) {
      case 'echo': return this.seal(from, 'echo_answer', undefined, { ...link, ...this.head(from, d) });
      case 'query': return this.status(from, link, d);
      case 'reconciliation': return this.reconcile(from, link, d);
      case 'state': throw new Fault('state'); // for whoever watches the fleet
      default: return this.money(from, raw, link, e, d);
    }
  }

  // seal makes a signed answer and where it goes.
  seal(from, kind, subject, answer) {
    const event = {
      specversion: '1.0', id: crypto.randomUUID(), source: '/tapkeeper/wallet', audience: from.address, type: `tapkeeper.${kind}.v1`,
      time: new Date().toISOString(), subject, datacontenttype: 'application/json', data: answer,
    };
    return [from.down + kind.replace('_answer', ''), sign(this.signing, JSON.stringify(event))];
  }

  receipt(link, d, e, r) {
    return {
      ...link, payment_id: d.payment_id, sequence: Number(e.sequence), result: r.result, state: r.state, reason: r.reason,
      amount_minor: r.moved, wallet_ref: 'N' + d.payment_id.slice(-12),
    };
  }

  // money is "Exactly once": the same message, the same number, then the table.
  money(from, raw, link, e, d) {
    const key = from.address + '|' + e.id, number = from.address + '|' + e.sequence, hash = link.answers_sha256;
    const seen = this.messages.get(key);
    if (seen && seen.hash === hash) return seen.answer;
    let r, post = false;
    if (seen || this.numbers.has(number)) r = refused('2A', this.stateOf(from, d.payment_id));
    else { r = this.post(from, e, d); post = true; }
    const receipt = this.receipt(link, d, e, r), answer = this.seal(from, 'receipt', d.payment_id, receipt);
    if (!seen) this.messages.set(key, { hash, answer });
    if (post) this.numbers.add(number);
    const p = this.payments.get(d.payment_id);
    if (post && p && p.from === from.address) p.receipt = receipt;
    return answer;
  }

  stateOf(from, payment) {
    const p = this.payments.get(payment);
    return p && p.from === from.address ? p.state : 'unknown';
  }

  post(from, e, d) {
    const known = this.payments.get(d.payment_id);
    if (known && known.from !== from.address) return refused('2A', 'unknown');
    const fresh = (state) => {
      const p = {
        id: d.payment_id, from: from.address, amount: d.amount_minor, currency: d.currency, day: d.business_day, sequence: Number(e.sequence),
        state, refunded: 0, reason: '00',
      };
      this.payments.set(p.id, p);
      return p;
    };
    switch (e.kind) {
      case 'advice':
      case 'authorisation':
        if (!known) return accepted(fresh('taken').state, d.amount_minor);
        if (known.state !== 'taken' && known.state !== 'refunded') return refused('2C', known.state);
        return known.amount === d.amount_minor && known.currency === d.currency ? accepted(known.state, known.amount) : refused('2A', known.state);
      case 'report':
        return accepted((known ?? fresh('refused')).state, 0);
      case 'reversal': {
        const p = known ?? fresh('reversed');
        const moved = p.state === 'taken' || p.state === 'refunded' ? p.amount - p.refunded : 0;
        p.state = 'reversed';
        return accepted(p.state, moved);
      }
      default: return this.refund(from, e, d, known);
    }
  }

  refund(from, e, d, p) {
    if (!p) return refused('2A', 'unknown');
    const before = this.refunds.get(d.refund_id);
    if (before) return before.payment === p.id && before.amount === d.amount_minor ? accepted(p.state, 0) : refused('2A', p.state);
    if (p.state !== 'taken') return refused('2A', p.state);
    if (p.currency !== d.currency) return refused('0A', p.state);
    if (d.amount_minor > p.amount - p.refunded) return refused('0F', p.state);
    this.refunds.set(d.refund_id, {
      id: d.refund_id, payment: p.id, from: from.address, amount: d.amount_minor, currency: d.currency, day: d.business_day, sequence: Number(e.sequence),
    });
    p.refunded += d.amount_minor;
    if (p.refunded === p.amount) p.state = 'refunded';
    return accepted(p.state, d.amount_minor);
  }

  status(from, link, d) {
    const p = this.payments.get(d.payment_id), mine = p && p.from === from.address;
    const answer = { ...link, payment_id: d.payment_id, state: mine ? p.state : 'unknown', amount_minor: mine ? p.amount : 0, reason: mine ? p.reason : '00' };
    if (mine && p.receipt) answer.receipt = p.receipt;
    return this.seal(from, 'status', d.payment_id, answer);
  }

  // head keeps a terminal's head of its journal, and tells which.
  head(from, d) {
    const kept = this.heads.get(from.address);
    const same = d.known && kept && d.known.sequence === kept.sequence && d.known.hash === kept.hash;
    if (d.head && (!kept || (same && d.head.sequence > kept.sequence))) {
      this.heads.set(from.address, { sequence: d.head.sequence, hash: d.head.hash });
    }
    const now = this.heads.get(from.address);
    return now ? { head: now } : {};
  }

  reconcile(from, link, q) {
    const inDay = (x) => x.from === from.address && x.day === q.business_day && x.currency === q.currency &&
      (q.through === undefined || x.sequence <= q.through);
    const sorted = (items) => items.sort((a, b) => (a.key < b.key ? -1 : 1));
    const counted = [...this.payments.values()].filter((p) => inDay(p) && p.state !== 'refused');
    const returned = [...this.refunds.values()].filter(inDay);
    const books = {
      payments: sorted(counted.map((p) => ({
        key: p.id, item: { payment_id: p.id, amount_minor: p.amount, state: p.state === 'reversed' ? 'reversed' : 'paid' },
      }))),
      refunds: sorted(returned.map((r) => ({
        key: r.id, item: { payment_id: r.payment, refund_id: r.id, amount_minor: r.amount, state: 'refunded' },
      }))),
    };
    const summarise = (list) => {
      const paid = list.filter(({ item }) => item.state !== 'reversed');
      return {
        count: paid.length, sum_minor: paid.reduce((n, { item }) => n + item.amount_minor, 0),
        hash: sha256(list.map(({ key, item }) => `${key}|${item.amount_minor}|${q.currency}|${item.state}\n`).join('')),
      };
    };
    const equal = (a, b) => a.count === b.count && a.sum_minor === b.sum_minor && a.hash === b.hash;
    const payments = summarise(books.payments), refunds = summarise(books.refunds);
    const answer = {
      ...link, business_day: q.business_day, currency: q.currency, match: equal(payments, q) && equal(refunds, q.refunds), ...payments, refunds,
    };
    const numbers = [...counted, ...returned].map((x) => x.sequence);
    if (numbers.length > 0) Object.assign(answer, { first: Math.min(...numbers), last: Math.max(...numbers) });
    if (q.ranges?.length) {
      answer.ranges = q.ranges.map((r) => {
        const part = books[r.of].filter(({ key }) => (r.from === undefined || key >= r.from) && (r.to === undefined || key < r.to));
        const mine = summarise(part);
        if (equal(mine, r)) return { match: true, ...mine };
        if (part.length > LEAF) return { match: false, ...mine, middle: part[part.length >> 1].key };
        return part.length === 0 ? { match: false, ...mine } : { match: false, ...mine, items: part.map(({ item }) => item) };
      });
    }
    return this.seal(from, 'reconciliation_answer', q.business_day, { ...answer, ...this.head(from, q) });
  }
}

const accepted = (state, moved) => ({ result: 'accepted', state, reason: '00', moved });
const refused = (reason, state) => ({ result: 'refused', state, reason, moved: 0 });
