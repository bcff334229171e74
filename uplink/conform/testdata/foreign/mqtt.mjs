// MQTT 3.1.1 with QoS 1 both ways, clean session.
import net from 'node:net';

const CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBSCRIBE = 8, SUBACK = 9, PINGREQ = 12;
const LARGEST = 66048; // a message, its topic and headers

function string(s) {
  const b = Buffer.from(s, 'utf8');
  return Buffer.concat([Buffer.from([b.length >> 8, b.length & 255]), b]);
}

function packet(type, flags, body) {
  const length = [];
  let n = body.length;
  do {
    length.push((n & 127) | (n > 127 ? 128 : 0));
    n >>= 7;
  } while (n > 0);
  return Buffer.concat([Buffer.from([(type << 4) | flags, ...length]), body]);
}

// connect subscribes to a filter and hands every message to onMessage(topic, payload),
// which returns what to publish: [[topic, payload], …]. The message is acknowledged after.
export function connect({ host, port, clientId, filter, onMessage, onReady, onEnd }) {
  const socket = net.connect(port, host);
  socket.setNoDelay(true);
  let buffer = Buffer.alloc(0), nextId = 1;
  const id = () => { nextId = (nextId % 65535) + 1; return Buffer.from([nextId >> 8, nextId & 255]); };
  const keepAlive = 30;
  const ping = setInterval(() => socket.write(packet(PINGREQ, 0, Buffer.alloc(0))), keepAlive * 500);
  socket.on('connect', () => socket.write(packet(CONNECT, 0,
    Buffer.concat([string('MQTT'), Buffer.from([4, 2, 0, keepAlive]), string(clientId)]))));
  socket.on('close', () => { clearInterval(ping); onEnd(); });
  socket.on('error', (e) => { console.error(e.message); socket.destroy(); });

  const handle = (first, body) => {
    switch (first >> 4) {
      case CONNACK:
        if (body[1] !== 0) throw new Error(`refused by the broker: ${body[1]}`);
        socket.write(packet(SUBSCRIBE, 2, Buffer.concat([id(), string(filter), Buffer.from([1])])));
        return;
      case SUBACK:
        if (body[2] === 0x80) throw new Error('the broker refuses the subscription');
        onReady();
        return;
      case PUBLISH: {
        const n = body.readUInt16BE(0), topic = body.toString('utf8', 2, 2 + n), qos = (first >> 1) & 3;
        const payload = body.subarray(2 + n + (qos > 0 ? 2 : 0));
        for (const [to, answer] of onMessage(topic, payload)) {
          socket.write(packet(PUBLISH, 2, Buffer.concat([string(to), id(), answer])));
        }
        if (qos > 0) socket.write(packet(PUBACK, 0, body.subarray(2 + n, 4 + n)));
      }
    }
  };
  socket.on('data', (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      let length = 0, at = 1, more = true;
      for (; more && at < buffer.length && at < 5; at++) {
        length |= (buffer[at] & 127) << (7 * (at - 1));
        more = (buffer[at] & 128) !== 0;
      }
      if (length > LARGEST) { socket.destroy(); return; }
      if (more || buffer.length < at + length) return;
      const first = buffer[0], body = buffer.subarray(at, at + length);
      buffer = buffer.subarray(at + length);
      handle(first, body);
    }
  });
}
