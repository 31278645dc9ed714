/*
 * Faults between a program and its files, for tests: loaded into the program by LD_PRELOAD.
 *
 * The kernel is asked (seccomp) to hand the calls named below back to this library instead of
 * doing them, by whatever way they are made: by the C library, whose names for them are many, or
 * straight, as some Rust crates do. Calls on files outside FAULT_DIR are done as they are. Calls on
 * files within are counted and spoilt as the control file says: FAULT_CONTROL, the bytes of
 * `struct control`, shared with the test, which changes them while the program runs.
 *
 * The program may not start another: that would be without this library, but not without the
 * kernel's order. Must not know: what the program is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* The program ends with this status where faults cannot be made. */
#define NOT_HERE 86

/* Kinds of calls; a call may be of several. The test has the same numbers. */
enum {
	READ = 1 << 0,
	WRITE = 1 << 1,
	GROW = 1 << 2,   /* takes room: writes beyond a file's end, allocates, creates */
	CREATE = 1 << 3, /* may make a file */
	SYNC = 1 << 4,
	CHANGE = 1 << 5, /* changes anything: refused where one may only read */
};

enum effect { FAIL = 1, FAIL_HALFWAY = 2, SHORT = 3, SLOW = 4 };

#define PATH_BYTES 256

struct control {
	uint64_t armed;
	uint64_t calls;  /* kinds that count */
	uint64_t skip;   /* so many of them are let through … */
	uint64_t times;  /* … before so many are spoilt */
	uint64_t effect;
	uint64_t value;  /* FAIL: errno; SHORT: bytes at most; SLOW: milliseconds */
	uint64_t seen;   /* calls that counted */
	uint64_t spoilt; /* and that were spoilt */
	char where[PATH_BYTES]; /* only files with this in their path; all if empty */
	char last[PATH_BYTES];  /* path of the last file whose call was spoilt */
};

static struct control *control;
static char dir[PATH_BYTES];

/* The one place from which the kernel takes the calls as they are. */
long fault_call(long number, long a, long b, long c, long d, long e, long f);
extern char fault_call_end[];

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
__asm__(".text\n.globl fault_call\n.hidden fault_call\n.globl fault_call_end\n.hidden fault_call_end\n"
	"fault_call:\n"
	"mov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\nmov %rcx, %rdx\nmov %r8, %r10\nmov %r9, %r8\nmov 8(%rsp), %r9\n"
	"syscall\n"
	"fault_call_end:\n"
	"ret\n");
#define ARGUMENT(u, n) ((u)->uc_mcontext.gregs[(int[]){REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9}[n]])
#define RESULT(u) ((u)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
__asm__(".text\n.globl fault_call\n.hidden fault_call\n.globl fault_call_end\n.hidden fault_call_end\n"
	"fault_call:\n"
	"mov x8, x0\nmov x0, x1\nmov x1, x2\nmov x2, x3\nmov x3, x4\nmov x4, x5\nmov x5, x6\n"
	"svc #0\n"
	"fault_call_end:\n"
	"ret\n");
#define ARGUMENT(u, n) ((u)->uc_mcontext.regs[n])
#define RESULT(u) ((u)->uc_mcontext.regs[0])
#else
#error "faults are made on x86-64 and arm64 only"
#endif

static const int CALLS[] = {
	SYS_openat, SYS_read, SYS_pread64, SYS_readv, SYS_preadv, SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev,
	SYS_fsync, SYS_fdatasync, SYS_fallocate, SYS_ftruncate, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_unlinkat, SYS_mkdirat,
#ifdef SYS_open
	SYS_open, SYS_creat, SYS_rename, SYS_link, SYS_unlink, SYS_mkdir,
#endif
};
#define CALLS_COUNT (sizeof CALLS / sizeof *CALLS)

/* A call, as it came. */
struct call {
	long number;
	long a[6];
};

static long do_it(const struct call *c)
{
	return fault_call(c->number, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->a[5]);
}

/* The path of an open file; empty if it has none. */
static void path_of(long fd, char *path)
{
	char link[32] = "/proc/self/fd/", digits[16];
	int n = 0, at = strlen(link);
	for (unsigned long rest = fd; n == 0 || rest > 0; rest /= 10)
		digits[n++] = '0' + rest % 10;
	while (n > 0)
		link[at++] = digits[--n];
	long length = fault_call(SYS_readlinkat, AT_FDCWD, (long)link, (long)path, PATH_BYTES - 1, 0, 0);
	path[length > 0 ? length : 0] = 0;
}

static void copy_path(char *to, long from)
{
	strncpy(to, (const char *)from, PATH_BYTES - 1);
	to[PATH_BYTES - 1] = 0;
}

/* Whether so many bytes written here make the file longer. Without an offset: at the file's own. */
static int grows(long fd, long offset, unsigned long bytes)
{
	struct stat stat;
	if (offset < 0)
		offset = fault_call(SYS_lseek, fd, 0, SEEK_CUR, 0, 0, 0);
	return fault_call(SYS_fstat, fd, (long)&stat, 0, 0, 0, 0) == 0 && (unsigned long)offset + bytes > (unsigned long)stat.st_size;
}

static int kinds_of_open(long flags)
{
	int kinds = flags & O_CREAT ? CREATE | GROW : 0;
	return kinds | (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR) ? CHANGE : 0);
}

/* The kinds of a call, and the path that it is about. */
static int kinds(const struct call *c, char *path)
{
	switch (c->number) {
	case SYS_openat:
		copy_path(path, c->a[1]);
		return kinds_of_open(c->a[2]);
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_linkat:
		copy_path(path, c->a[3]);
		return CHANGE;
	case SYS_unlinkat:
		copy_path(path, c->a[1]);
		return CHANGE;
	case SYS_mkdirat:
		copy_path(path, c->a[1]);
		return CHANGE | CREATE | GROW;
#ifdef SYS_open
	case SYS_open:
		copy_path(path, c->a[0]);
		return kinds_of_open(c->a[1]);
	case SYS_creat:
		copy_path(path, c->a[0]);
		return CREATE | GROW | CHANGE;
	case SYS_rename:
	case SYS_link:
		copy_path(path, c->a[1]);
		return CHANGE;
	case SYS_unlink:
		copy_path(path, c->a[0]);
		return CHANGE;
	case SYS_mkdir:
		copy_path(path, c->a[0]);
		return CHANGE | CREATE | GROW;
#endif
	}
	path_of(c->a[0], path);
	switch (c->number) {
	case SYS_read:
	case SYS_pread64:
	case SYS_readv:
	case SYS_preadv:
		return READ;
	case SYS_write:
		return WRITE | CHANGE | (grows(c->a[0], -1, c->a[2]) ? GROW : 0);
	case SYS_pwrite64:
		return WRITE | CHANGE | (grows(c->a[0], c->a[3], c->a[2]) ? GROW : 0);
	case SYS_writev:
	case SYS_pwritev:
		return WRITE | CHANGE | GROW;
	case SYS_fallocate:
		return WRITE | CHANGE | GROW;
	case SYS_ftruncate:
		return CHANGE;
	default: /* the two that sync */
		return SYNC;
	}
}

/* Where a call that moves bytes has their number; none if it cannot be done in part. */
static long *bytes_of(struct call *c)
{
	switch (c->number) {
	case SYS_read:
	case SYS_pread64:
	case SYS_write:
	case SYS_pwrite64:
		return &c->a[2];
	default:
		return NULL;
	}
}

static void sleep_ms(uint64_t ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};
	while (fault_call(SYS_nanosleep, (long)&left, (long)&left, 0, 0, 0, 0) == -EINTR)
		;
}

static long spoil(struct call *c)
{
	long *bytes = bytes_of(c);
	switch (control->effect) {
	case FAIL_HALFWAY:
		if (bytes != NULL && *bytes > 1) {
			*bytes /= 2;
			do_it(c);
		}
		return -(long)control->value;
	case SHORT:
		if (bytes != NULL && (uint64_t)*bytes > control->value)
			*bytes = control->value;
		return do_it(c);
	case SLOW:
		sleep_ms(control->value);
		return do_it(c);
	default:
		return -(long)control->value;
	}
}

static long answer(struct call *c)
{
	char path[PATH_BYTES];
	if (!__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE))
		return do_it(c);
	int of = kinds(c, path);
	size_t length = strlen(dir);
	if (strncmp(path, dir, length) != 0 || (path[length] != 0 && path[length] != '/'))
		return do_it(c);
	if (!(of & control->calls) || strstr(path, control->where) == NULL)
		return do_it(c);
	uint64_t n = __atomic_fetch_add(&control->seen, 1, __ATOMIC_ACQ_REL);
	if (n < control->skip || n - control->skip >= control->times)
		return do_it(c);
	__atomic_fetch_add(&control->spoilt, 1, __ATOMIC_ACQ_REL);
	memcpy(control->last, path, PATH_BYTES);
	return spoil(c);
}

static void on_call(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	ucontext_t *u = context;
	struct call c = {.number = info->si_syscall};
	for (int n = 0; n < 6; n++)
		c.a[n] = ARGUMENT(u, n);
	RESULT(u) = answer(&c);
}

/* Has the kernel hand over the calls, unless they are made by `fault_call`. */
static int take_calls(void)
{
	uint64_t here = (uint64_t)fault_call_end;
	struct sock_filter filter[CALLS_COUNT + 11];
	unsigned short n = 0;
#define DO(code, value) filter[n++] = (struct sock_filter)BPF_STMT(code, value)
#define LOAD(field, half) DO(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + 4 * (half))
#define IF(value, so, else) filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, so, else)
	LOAD(arch, 0);
	IF(ARCH, 1, 0);
	DO(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	LOAD(instruction_pointer, 0);
	IF((uint32_t)here, 0, 3);
	LOAD(instruction_pointer, 1);
	IF((uint32_t)(here >> 32), 0, 1);
	DO(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	LOAD(nr, 0);
	for (size_t i = 0; i < CALLS_COUNT; i++)
		IF(CALLS[i], CALLS_COUNT - i, 0);
	DO(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	DO(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
	struct sock_fprog program = {.len = n, .filter = filter};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("FAULT_CONTROL"), *files = getenv("FAULT_DIR");
	if (name == NULL || files == NULL || strlen(files) >= PATH_BYTES)
		_exit(NOT_HERE);
	strcpy(dir, files);
	int fd = open(name, O_RDWR);
	void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || shared == MAP_FAILED)
		_exit(NOT_HERE);
	close(fd);
	control = shared;
	/* A handler of another signal may make calls, too, while this one runs. */
	struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
	if (sigaction(SIGSYS, &action, NULL) != 0 || !take_calls())
		_exit(NOT_HERE);
}
