/* ifdlab: an IFD handler for tests. It decides nothing: each call of pcscd becomes one question on the unix socket
 * $IFDLAB_SOCKET, and the test's Lab (lab.go) answers with a response code and data.
 *
 * Question: operation, reader (2 bytes), slot, number (4 bytes), length (4 bytes), data.
 * Answer: response code (4 bytes), length (4 bytes), data. All big endian. No Lab is a reader that does not answer. */
#include <ifdhandler.h>
#include <reader.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int all(int fd, unsigned char *b, size_t n, int out) {
	while (n > 0) {
		ssize_t k = out ? send(fd, b, n, MSG_NOSIGNAL) : read(fd, b, n);
		if (k <= 0) return 0;
		b += k;
		n -= (size_t)k;
	}
	return 1;
}
static void put(unsigned char *b, uint32_t v) { b[0] = v >> 24; b[1] = v >> 16; b[2] = v >> 8; b[3] = v; }
static uint32_t get(const unsigned char *b) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }

static RESPONSECODE ask(char op, DWORD lun, DWORD number, const void *in, DWORD n, unsigned char *out, DWORD room, DWORD *len) {
	RESPONSECODE rc = IFD_COMMUNICATION_ERROR;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const char *path = getenv("IFDLAB_SOCKET");
	unsigned char head[12], *rest;
	uint32_t size;
	if (len) *len = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!path || fd < 0) return rc;
	strncpy(a.sun_path, path, sizeof a.sun_path - 1);
	head[0] = (unsigned char)op;
	head[1] = lun >> 24;
	head[2] = lun >> 16;
	head[3] = lun;
	put(head + 4, number);
	put(head + 8, n);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && all(fd, head, 12, 1) && (n == 0 || all(fd, (unsigned char *)in, n, 1)) && all(fd, head, 8, 0)) {
		size = get(head + 4);
		rest = malloc(size + 1);
		if (rest && all(fd, rest, size, 0)) {
			rc = get(head);
			if (size > room) rc = IFD_ERROR_INSUFFICIENT_BUFFER;
			else if (out) { memcpy(out, rest, size); if (len) *len = size; }
		}
		free(rest);
	}
	close(fd);
	return rc;
}

RESPONSECODE IFDHCreateChannelByName(DWORD Lun, LPSTR name) { return ask('o', Lun, 0, name, strlen(name), NULL, 0, NULL); }
RESPONSECODE IFDHCreateChannel(DWORD Lun, DWORD c) { (void)Lun; (void)c; return IFD_COMMUNICATION_ERROR; }
RESPONSECODE IFDHCloseChannel(DWORD Lun) { return ask('x', Lun, 0, NULL, 0, NULL, 0, NULL); }
RESPONSECODE IFDHGetCapabilities(DWORD Lun, DWORD Tag, PDWORD Length, PUCHAR Value) {
	switch (Tag) {
	case TAG_IFD_SIMULTANEOUS_ACCESS: *Value = 16; *Length = 1; return IFD_SUCCESS;
	case TAG_IFD_THREAD_SAFE: *Value = 1; *Length = 1; return IFD_SUCCESS;
	case TAG_IFD_SLOT_THREAD_SAFE: *Value = 0; *Length = 1; return IFD_SUCCESS;
	case TAG_IFD_POLLING_THREAD: case TAG_IFD_POLLING_THREAD_WITH_TIMEOUT: case TAG_IFD_POLLING_THREAD_KILLABLE: return IFD_ERROR_TAG;
	}
	return ask('g', Lun, Tag, NULL, 0, Value, *Length, Length);
}
RESPONSECODE IFDHSetCapabilities(DWORD Lun, DWORD Tag, DWORD L, PUCHAR V) { (void)Lun; (void)Tag; (void)L; (void)V; return IFD_NOT_SUPPORTED; }
RESPONSECODE IFDHSetProtocolParameters(DWORD Lun, DWORD P, UCHAR F, UCHAR a, UCHAR b, UCHAR c) { (void)Lun; (void)P; (void)F; (void)a; (void)b; (void)c; return IFD_SUCCESS; }
RESPONSECODE IFDHPowerICC(DWORD Lun, DWORD Action, PUCHAR Atr, PDWORD L) { return ask('p', Lun, Action, NULL, 0, Atr, MAX_ATR_SIZE, L); }
RESPONSECODE IFDHTransmitToICC(DWORD Lun, SCARD_IO_HEADER s, PUCHAR tx, DWORD n, PUCHAR rx, PDWORD rl, PSCARD_IO_HEADER r) {
	(void)s;
	(void)r;
	return ask('t', Lun, 0, tx, n, rx, *rl, rl);
}
RESPONSECODE IFDHControl(DWORD Lun, DWORD code, PUCHAR tx, DWORD n, PUCHAR rx, DWORD rn, LPDWORD out) { return ask('c', Lun, code, tx, n, rx, rn, out); }
RESPONSECODE IFDHICCPresence(DWORD Lun) { return ask('i', Lun, 0, NULL, 0, NULL, 0, NULL); }
