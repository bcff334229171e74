/* udevshim: LD_PRELOAD for pcscd. Replaces libudev by USB readers that a test plugs and unplugs, which is pcscd's real
 * hotplug path. Each plug or unplug is one record of 128 bytes on the FIFO $UDEVSHIM_FIFO:
 * action (a or r), number, vendor, product, interface name, serial, with | between them ("a|3|072f|2200||0815"). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char obj, record[129], node[64], sys[64], *field[6];
static int fd = -1;

static int next(void) {
	char *p = record;
	if (read(fd, record, 128) != 128) return 0;
	for (int i = 0; i < 6; i++) {
		field[i] = p ? p : "";
		if (p && (p = strchr(p, '|'))) *p++ = 0;
	}
	snprintf(node, sizeof node, "/dev/bus/usb/001/%s", field[1]);
	snprintf(sys, sizeof sys, "1-%s:1.0", field[1]);
	return 1;
}
void *udev_new(void) { return &obj; }
void *udev_unref(void *u) { (void)u; return 0; }
void *udev_monitor_new_from_netlink(void *u, const char *n) { (void)u; (void)n; fd = open(getenv("UDEVSHIM_FIFO"), O_RDWR); return &obj; }
int udev_monitor_filter_add_match_subsystem_devtype(void *m, const char *s, const char *d) { (void)m; (void)s; (void)d; return 0; }
int udev_monitor_enable_receiving(void *m) { (void)m; return 0; }
int udev_monitor_get_fd(void *m) { (void)m; return fd; }
void *udev_monitor_receive_device(void *m) { (void)m; return next() ? &obj : 0; }
void *udev_monitor_unref(void *m) { (void)m; return 0; }
const char *udev_device_get_action(void *d) { (void)d; return field[0][0] == 'a' ? "add" : "remove"; }
void *udev_enumerate_new(void *u) { (void)u; return &obj; }
int udev_enumerate_add_match_subsystem(void *e, const char *s) { (void)e; (void)s; return 0; }
int udev_enumerate_scan_devices(void *e) { (void)e; return 0; }
void *udev_enumerate_get_list_entry(void *e) { (void)e; return 0; }
void *udev_enumerate_unref(void *e) { (void)e; return 0; }
void *udev_list_entry_get_next(void *e) { (void)e; return 0; }
const char *udev_list_entry_get_name(void *e) { (void)e; return 0; }
void *udev_device_new_from_syspath(void *u, const char *p) { (void)u; (void)p; return &obj; }
void *udev_device_unref(void *d) { (void)d; return 0; }
void *udev_device_get_parent_with_subsystem_devtype(void *d, const char *s, const char *t) { (void)d; (void)s; (void)t; return &obj; }
const char *udev_device_get_devnode(void *d) { (void)d; return node; }
const char *udev_device_get_sysname(void *d) { (void)d; return sys; }
const char *udev_device_get_sysattr_value(void *d, const char *a) {
	(void)d;
	if (!strcmp(a, "idVendor")) return field[2];
	if (!strcmp(a, "idProduct")) return field[3];
	if (!strcmp(a, "bInterfaceNumber")) return "00";
	if (!strcmp(a, "interface")) return field[4][0] ? field[4] : 0;
	if (!strcmp(a, "serial")) return field[5][0] ? field[5] : 0;
	return 0;
}
