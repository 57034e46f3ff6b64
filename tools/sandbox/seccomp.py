"""The system calls that are refused to confined code, in every sandbox, and in those without namespaces."""

from __future__ import annotations

from errno import EACCES, EAFNOSUPPORT, ENETUNREACH, ENOSYS, EOPNOTSUPP, EPERM

from . import bpf, syscalls
from .bpf import Refusal, When

SeccompRule = tuple[str, int, When | None]

# socket(2), by family and type
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_TYPE_MASK = 1, 0xF

TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # type into, and select from, another process's terminal
CLONE_NEW = 0x7E020000  # new namespaces, for clone(2): CGROUP, UTS, IPC, USER, PID, NET and NS
CLONE_NEWTIME = 0x80  # unshare(2) only; for clone it is one of the bits of the exit signal
READ_PERSONALITY = WORD = 0xFFFFFFFF
DONE = 0  # an errno of 0: the call does nothing and reports success

_OTHERS_MEMORY = (
    "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp "
    "move_pages migrate_pages"
)
# Large and seldom used parts of the kernel, which had most of its flaws.
_KERNEL_PARTS = (
    "bpf perf_event_open fanotify_init lookup_dcookie uselib modify_ldt iopl ioperm "
    "add_key request_key keyctl name_to_handle_at open_by_handle_at"
)
_SYSTEM = (
    "kexec_load kexec_file_load init_module finit_module delete_module create_module query_module "
    "get_kernel_syms acct swapon swapoff reboot quotactl quotactl_fd nfsservctl vhangup syslog "
    "settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname"
)
_MOUNTS = (
    "mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick "
    "mount_setattr setns"
)
# Programs try these first and have an alternative, which ENOSYS makes them use. The memory of the last four
# belongs to no process, so nothing could bound it.
_ABSENT = (
    "io_uring_setup io_uring_enter io_uring_register userfaultfd clone3 "
    "memfd_create memfd_secret shmget msgget"
)


def _always(names: str, errno: int) -> list[SeccompRule]:
    return [(name, errno, None) for name in names.split()]


EVERYWHERE: list[SeccompRule] = [
    *_always(_OTHERS_MEMORY, EPERM),
    *_always(_KERNEL_PARTS, EPERM),
    *_always(_SYSTEM, EPERM),
    *_always(_MOUNTS, EPERM),
    *_always(_ABSENT, ENOSYS),
    # clone3 has its flags in memory, which a filter cannot read; so it counts as absent, and clone is
    # filtered.
    ("clone", EPERM, When(0, (0,), mask=CLONE_NEW, unless=True)),
    ("unshare", EPERM, When(0, (0,), mask=CLONE_NEW | CLONE_NEWTIME, unless=True)),
    ("personality", EPERM, When(0, (0, READ_PERSONALITY), unless=True)),
    ("ioctl", EPERM, When(1, (TIOCSTI, TIOCLINUX))),
    ("socket", EAFNOSUPPORT, When(0, (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK), unless=True)),
    ("socketpair", EAFNOSUPPORT, When(0, (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK), unless=True)),
]

# For sandboxes in which no namespace hides the person's other processes, sockets and files: the calls that
# Landlock does not cover.
_PRIORITIES = (
    ("sched_setaffinity", 0),
    ("sched_setparam", 0),
    ("sched_setscheduler", 0),
    ("sched_setattr", 0),
    ("setpriority", 1),
    ("ioprio_set", 1),
)
_MODES = "chmod fchmod fchmodat fchmodat2"
_OWNERS_AND_ATTRIBUTES = (
    "chown fchown lchown fchownat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr "
    "fremovexattr removexattrat file_setattr"
)
# System V's memory, queues and semaphores, and POSIX's queues: all processes of a user share them.
_SHARED_BY_NUMBER = "shmat shmctl semget semop semtimedop semctl msgsnd msgrcv msgctl mq_open mq_unlink"
FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR = 0x40086602, 0x401C5820  # chattr(1)

WITHOUT_NAMESPACES: list[SeccompRule] = [
    # Sockets may listen for the app and answer it: no network, and none of the person's own services.
    ("socket", EOPNOTSUPP, When(0, (AF_NETLINK,))),  # ZeroMQ accepts this errno; another would end it
    ("socket", ENETUNREACH, When(0, (AF_UNIX,), unless=True)),
    ("socket", EACCES, When(1, (SOCK_STREAM,), mask=SOCK_TYPE_MASK, unless=True)),
    ("socketpair", EACCES, When(1, (SOCK_STREAM,), mask=SOCK_TYPE_MASK, unless=True)),
    ("connect", EACCES, None),
    ("sendto", EACCES, When(4, (0,), unless=True)),
    ("sendto", EACCES, When(4, (0,), unless=True, high=True)),
    # Threads ask this of each other, so it reports success rather than a refusal.
    *[(name, DONE, When(argument, (0,), unless=True)) for name, argument in _PRIORITIES],
    ("prlimit64", EPERM, When(0, (0,), unless=True)),
    # Copying a file sets its mode and its time, so an error there would break many harmless programs. Setting
    # a path's time to the present may fail: the program then creates the file, as most intended in the first
    # place.
    *_always(_MODES, DONE),
    ("utimensat", DONE, When(2, (0,), unless=True)),
    ("utimensat", DONE, When(2, (0,), unless=True, high=True)),
    ("utimensat", DONE, When(1, (0,))),
    *_always("utimensat utime utimes futimesat", EPERM),
    *_always(_OWNERS_AND_ATTRIBUTES, EPERM),
    ("ioctl", EPERM, When(1, (FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR))),
    *_always("inotify_init inotify_init1", EPERM),
    *_always(_SHARED_BY_NUMBER, EPERM),
]

F_SETOWN, F_SETOWN_EX, FIOSETOWN, SIOCSPGRP = 8, 15, 0x8901, 0x8902


# Stand-ins for the process that loads the filter and for its group, which narrow.py replaces when known.
ITSELF, ITS_GROUP = 0xFACE0001, 0xFACE0002

# For a Landlock that cannot restrict signals yet.
SIGNALS: list[SeccompRule] = [
    ("kill", EPERM, When(0, (0, ITSELF, ITS_GROUP), unless=True)),
    ("tgkill", EPERM, When(0, (ITSELF,), unless=True)),
    *_always("tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal", EPERM),
    ("fcntl", EPERM, When(1, (F_SETOWN, F_SETOWN_EX))),
    ("ioctl", EPERM, When(1, (FIOSETOWN, SIOCSPGRP))),
]


def compile_filter(rules: list[SeccompRule], architecture: syscalls.Architecture | None = None) -> bytes:
    """The filter for `rules` on `architecture` (default: this machine's).

    Raises OSError on a machine whose system calls are unknown here.
    """
    architecture = architecture or syscalls.here()
    if architecture is None:
        raise OSError(ENOSYS, "there is no system call filter for this processor")
    refusals = [
        Refusal(number, errno, when)
        for name, errno, when in rules
        if (number := architecture.number(name)) is not None
    ]
    return bpf.assemble(bpf.program(refusals, architecture.audit, refuse_x32=architecture.x32))
