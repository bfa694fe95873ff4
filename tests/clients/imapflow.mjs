// imapflow against a running server; check_imapflow.py starts it with the connection in the environment.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.CLIENTS_DIR + '/');
const { ImapFlow } = require('imapflow');

const { HOST, IMAP, IMAPS, PASSWORD } = process.env;
const settings = { host: HOST, auth: { user: 'alice', pass: PASSWORD }, logger: false, tls: { rejectUnauthorized: false } };
const open = async (more = {}) => {
    const client = new ImapFlow({ ...settings, port: +IMAPS, secure: true, ...more });
    await client.connect();
    return client;
};
const mail = n => Buffer.from(
    `From: Ada <ada@example.com>\r\nTo: alice@example.org\r\nSubject: flow ${n}\r\nMessage-ID: <flow${n}@test.example.com>\r\n` +
    `MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nNumber ${n}\r\n` +
    `--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="a.bin"\r\n` +
    `Content-Transfer-Encoding: base64\r\n\r\nAAECAwQ=\r\n--b--\r\n`);
const collect = async iterator => {
    const all = [];
    for await (const item of iterator) all.push(item);
    return all;
};
/** Resolves with the next such event that passes the test. */
const event = (client, name, wanted = () => true) => new Promise(resolve => {
    const seen = data => { if (wanted(data)) { client.off(name, seen); resolve(data); } };
    client.on(name, seen);
});

async function connections() {
    const starttls = await open({ port: +IMAP, secure: false });
    assert.ok(starttls.secureConnection, 'STARTTLS');
    assert.ok(starttls.usable);
    await starttls.logout();
    await assert.rejects(open({ auth: { user: 'alice', pass: 'wrong' } }), e => e.authenticationFailed === true);
}

async function mailboxes(client) {
    const list = await client.list();
    for (const use of ['Drafts', 'Sent', 'Junk', 'Trash', 'Archive']) {
        const found = list.find(m => m.specialUse === '\\' + use);
        assert.equal(found?.path, use);
        assert.ok(found.subscribed, use);
    }
    assert.equal((await client.mailboxCreate(['Flow', 'Größe'])).created, true);
    assert.equal((await client.mailboxCreate('Flow/Größe')).created, false);
    assert.equal((await client.mailboxRename('Flow/Größe', 'Flow/Klein')).newPath, 'Flow/Klein');
    await client.mailboxSubscribe('Flow/Klein');
    await client.mailboxUnsubscribe('Flow/Klein');
    assert.ok((await client.listTree()).folders.length > 5);
    await client.mailboxDelete('Flow/Klein');
    await assert.rejects(client.mailboxOpen('Flow/Klein'));
}

async function messages(client) {
    await client.mailboxCreate('Flow/Mail');
    for (let n = 1; n <= 20; n++) {
        const done = await client.append('Flow/Mail', mail(n), n % 2 ? ['\\Seen'] : ['$Even'], new Date('2025-01-02T03:04:05Z'));
        assert.equal(done.uid, n, 'APPENDUID');
    }
    assert.deepEqual(pick(await client.status('Flow/Mail', { messages: true, unseen: true, uidNext: true })), { messages: 20, unseen: 10, uidNext: 21 });
    const lock = await client.getMailboxLock('Flow/Mail');
    try {
        assert.equal(client.mailbox.exists, 20);
        const all = await collect(client.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true }));
        assert.equal(all.length, 20);
        assert.equal(all[4].envelope.subject, 'flow 5');
        assert.equal(all[4].size, mail(5).length);
        assert.equal(all[4].internalDate.toISOString(), '2025-01-02T03:04:05.000Z');
        assert.equal(all[4].bodyStructure.childNodes[1].dispositionParameters.filename, 'a.bin');
        assert.deepEqual((await client.fetchOne(5, { source: true })).source, mail(5));
        const part = await client.download('5', '2');
        assert.deepEqual(Buffer.concat(await collect(part.content)), Buffer.from([0, 1, 2, 3, 4]));
        assert.deepEqual(await client.search({ seen: false, keyword: '$Even' }, { uid: true }), [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
        assert.deepEqual(await client.search({ or: [{ subject: 'flow 7' }, { header: { 'Message-ID': 'flow9@' } }] }), [7, 9]);
        assert.equal(await client.messageFlagsAdd('1:3', ['\\Flagged', '$Later']), true);
        assert.equal(await client.messageFlagsRemove('1', ['\\Flagged']), true);
        assert.equal(await client.messageFlagsSet({ uid: '2' }, ['\\Answered']), true);
        const flags = await collect(client.fetch('1:3', { flags: true }));
        assert.deepEqual(flags.map(m => [...m.flags].filter(f => f !== '\\Recent').sort().join(' ')), ['$Later \\Seen', '\\Answered', '$Later \\Flagged \\Seen']);
        const copied = await client.messageCopy('1:2', 'Archive');
        assert.deepEqual([...copied.uidMap.keys()], [1, 2]);
        const moved = await client.messageMove('11:20', 'Trash');
        assert.deepEqual([...moved.uidMap.keys()], [11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
        assert.equal(await client.messageDelete('1'), true);
        assert.deepEqual(await client.search({ all: true }, { uid: true }), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    } finally {
        lock.release();
    }
}
const pick = ({ messages, unseen, uidNext }) => ({ messages, unseen, uidNext });

async function idle(watcher, worker) {
    await watcher.mailboxOpen('Flow/Mail');
    await worker.mailboxOpen('Flow/Mail');
    const before = watcher.mailbox.exists;
    const idling = watcher.idle();
    const exists = event(watcher, 'exists', e => e.count === before + 1);
    await worker.append('Flow/Mail', mail(99));
    await exists;
    const flags = event(watcher, 'flags', e => e.flags.has('\\Flagged'));
    await worker.messageFlagsAdd('*', ['\\Flagged']);
    await flags;
    const gone = event(watcher, 'expunge');
    await worker.messageDelete('*');
    await gone;
    await watcher.noop();
    await idling;
    assert.equal(watcher.mailbox.exists, before);
}

await connections();
const client = await open();
const second = await open();
for (const walk of [mailboxes, messages, idle]) {
    await walk(client, second);
    console.log('  ', walk.name);
}
await client.logout();
await second.logout();
process.exit(0); // The socket of the refused login is still there: imapflow leaves it to the server.
