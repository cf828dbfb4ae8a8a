/* Runs a program and, at its n-th call that opens, writes, syncs, cuts, renames or removes something below a folder, kills it,
 * makes the call fail, or lets it write half. It traces the program instead of standing between it and its C library: half of
 * the calls are made without one.
 *
 *     inject FOLDER MODE N ERRNO PROGRAM ARGUMENT...     MODE: count, kill, once, ever, short
 *
 * Counting begins when the program asks for FOLDER/faults-begin. Says on stderr how many calls there were, and which was hit. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the registers of this machine are not known here"
#endif

enum { THREADS = 256 };
enum mode { COUNT, KILL, ONCE, EVER, SHORT };

struct thread { pid_t tid; int inside; int failing; };

static struct thread threads[THREADS];
static const char *folder;
static enum mode mode;
static long wanted, calls;
static int error, begun, hit;
static pid_t child;

static struct thread *thread_of(pid_t tid) {
    for (int i = 0; i < THREADS; i++)
        if (threads[i].tid == tid) return &threads[i];
    for (int i = 0; i < THREADS; i++)
        if (!threads[i].tid) { threads[i].tid = tid; return &threads[i]; }
    fprintf(stderr, "inject: too many threads\n");
    exit(78);
}

static int below(const char *path) {
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static void path_of_fd(pid_t tid, int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", tid, fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    out[length < 0 ? 0 : length] = 0;
}

static void path_at(pid_t tid, int fd, unsigned long address, char *out) {
    char text[PATH_MAX] = {0};
    /* A page at a time: the text may end just before memory that is not there. */
    for (size_t at = 0; at < sizeof text - 1;) {
        size_t most = 4096 - (address + at) % 4096;
        if (most > sizeof text - 1 - at) most = sizeof text - 1 - at;
        struct iovec here = {text + at, most}, there = {(void *)(address + at), most};
        ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
        if (got <= 0 || memchr(text + at, 0, got)) break;
        at += got;
    }
    if (text[0] == '/') { strcpy(out, text); return; }
    path_of_fd(tid, fd, out);
    strncat(out, "/", PATH_MAX - strlen(out) - 1);
    strncat(out, text, PATH_MAX - strlen(out) - 1);
}

/* The call's name if it is one that counts, and what it is about. */
static const char *meant(pid_t tid, const struct user_regs_struct *r, char *path) {
    switch (r->orig_rax) {
    case SYS_write: path_of_fd(tid, r->rdi, path); return "write";
    case SYS_pwrite64: path_of_fd(tid, r->rdi, path); return "pwrite";
    case SYS_fsync: path_of_fd(tid, r->rdi, path); return "fsync";
    case SYS_fdatasync: path_of_fd(tid, r->rdi, path); return "fdatasync";
    case SYS_ftruncate: path_of_fd(tid, r->rdi, path); return "ftruncate";
    case SYS_open: path_at(tid, AT_FDCWD, r->rdi, path); return "open";
    case SYS_openat: path_at(tid, r->rdi, r->rsi, path); return "open";
    case SYS_rename: path_at(tid, AT_FDCWD, r->rdi, path); return "rename";
    case SYS_renameat:
    case SYS_renameat2: path_at(tid, r->rdi, r->rsi, path); return "rename";
    case SYS_unlink: path_at(tid, AT_FDCWD, r->rdi, path); return "unlink";
    case SYS_unlinkat: path_at(tid, r->rdi, r->rsi, path); return "unlink";
    default: return NULL;
    }
}

static void entering(pid_t tid, struct thread *thread) {
    static char path[PATH_MAX * 2];
    struct user_regs_struct r;
    if (ptrace(PTRACE_GETREGS, tid, 0, &r)) return;
    const char *name = meant(tid, &r, path);
    if (!name || !below(path)) return;
    if (!begun) {
        begun = !strcmp(path + strlen(folder), "/faults-begin");
        return;
    }
    calls++;
    int writes = !strcmp(name, "write") || !strcmp(name, "pwrite");
    if (mode == COUNT || calls < wanted || (mode != EVER && calls > wanted)) return;
    if (mode == SHORT && (!writes || r.rdx < 2)) return;
    if (!hit) fprintf(stderr, "inject: hit %s %s\n", name, path);
    hit = 1;
    switch (mode) {
    case KILL: kill(child, SIGKILL); break;
    case SHORT: r.rdx /= 2; ptrace(PTRACE_SETREGS, tid, 0, &r); break;
    default:
        /* No such call; its result is put in when it comes back. */
        r.orig_rax = -1;
        ptrace(PTRACE_SETREGS, tid, 0, &r);
        thread->failing = 1;
    }
}

static void leaving(pid_t tid, struct thread *thread) {
    struct user_regs_struct r;
    if (!thread->failing || ptrace(PTRACE_GETREGS, tid, 0, &r)) return;
    r.rax = -error;
    ptrace(PTRACE_SETREGS, tid, 0, &r);
    thread->failing = 0;
}

int main(int argc, char **argv) {
    static const char *modes[] = {"count", "kill", "once", "ever", "short"};
    if (argc < 6) return 78;
    folder = argv[1];
    while (mode <= SHORT && strcmp(argv[2], modes[mode])) mode++;
    if (mode > SHORT) return 78;
    wanted = atol(argv[3]);
    error = atoi(argv[4]);
    child = fork();
    if (!child) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(77);
        raise(SIGSTOP);
        execv(argv[5], argv + 5);
        _exit(78);
    }
    int status;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return 77;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, child, 0, options) || ptrace(PTRACE_SYSCALL, child, 0, 0)) return 77;
    int code = 1;
    for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0;) {
        struct thread *thread = thread_of(tid);
        if (!WIFSTOPPED(status)) {
            if (tid == child) code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            memset(thread, 0, sizeof *thread);
            continue;
        }
        int signal = WSTOPSIG(status), deliver = 0;
        if (signal == (SIGTRAP | 0x80)) {
            thread->inside = !thread->inside;
            if (thread->inside) entering(tid, thread);
            else leaving(tid, thread);
        } else if (signal != SIGTRAP && signal != SIGSTOP) {
            deliver = signal;
        }
        ptrace(PTRACE_SYSCALL, tid, 0, deliver);
    }
    fprintf(stderr, "inject: calls %ld\n", calls);
    return code;
}
