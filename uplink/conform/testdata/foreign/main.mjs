// node main.mjs HOST PORT KIT KEYS: answers the terminals of a kit. KEYS is a folder
// with the wallet's private keys, signing.key and encryption.key, PKCS #8 PEM.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { connect } from './mqtt.mjs';
import { Wallet } from './wallet.mjs';

const [host, port, kit, keys] = process.argv.slice(2);
const read = (name) => crypto.createPrivateKey(fs.readFileSync(path.join(keys, name)));

// A terminal's public key from the seed in the kit: PKCS #8 of an Ed25519 key is a
// fixed prefix and the seed (RFC 8410).
const terminals = new Map();
for (const t of Object.values(JSON.parse(fs.readFileSync(path.join(kit, 'kit.json'))).terminals)) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(t.signing_seed, 'base64url')]);
  const key = crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  terminals.set(`/tapkeeper/${t.merchant}/${t.terminal}`, crypto.createPublicKey(key));
}

const wallet = new Wallet({ signing: read('signing.key'), decryption: read('encryption.key'), terminals });
connect({
  host, port: Number(port), clientId: 'foreign-wallet', filter: 'tapkeeper/v1/+/+/up/+',
  onMessage: (topic, payload) => wallet.handle(topic, payload),
  onReady: () => console.log('ready'),
  onEnd: () => process.exit(0),
});
process.on('SIGTERM', () => { console.log(JSON.stringify(wallet.dropped)); process.exit(0); });
