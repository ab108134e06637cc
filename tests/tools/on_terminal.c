/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * on_terminal PROMPT ANSWER... -- TOOL ARGS...: runs a tool on a terminal of its own. Each time it
 * prints PROMPT, the next ANSWER is typed, with a line feed; ^C and ^D are the keys. Prints what the
 * tool printed, and ends as it did: with its exit code, 128 and the number of a signal, or 99 when it
 * wants another answer, or has not ended after 60 seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENDS 99
#define TEXT_BYTES 65536u

static int fail(const char *what)
{
    fprintf(stderr, "on_terminal: %s: %s\n", what, strerror(errno));
    return ENDS;
}

static void become(int terminal, char **argv)
{
    setsid();
    ioctl(terminal, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; fd++)
        dup2(terminal, fd);
    if (terminal > 2)
        close(terminal);
    execvp(argv[0], argv);
    _exit(127);
}

static void type_answer(int fd, const char *answer)
{
    const char *key = strcmp(answer, "^C") == 0   ? "\003"
                      : strcmp(answer, "^D") == 0 ? "\004"
                                                  : NULL;
    size_t len = key != NULL ? 1 : strlen(answer);

    if (write(fd, key != NULL ? key : answer, len) != (ssize_t)len ||
        (key == NULL && write(fd, "\n", 1) != 1))
        exit(fail("an answer"));
}

/* False: the tool wants an answer that is not there, or the time is over. */
static bool talk(int fd, const char *prompt, char **answer, int answers)
{
    static char text[TEXT_BYTES];
    size_t have = 0, looked = 0;
    time_t end = time(NULL) + 60;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (time(NULL) < end) {
        ssize_t got;
        char *at;

        if (poll(&p, 1, 1000) <= 0)
            continue;
        got = read(fd, text + have, sizeof(text) - 1 - have);
        if (got <= 0)
            return true; /* nobody has the terminal open any more */
        fwrite(text + have, 1, (size_t)got, stdout);
        have += (size_t)got;
        text[have] = '\0';
        while ((at = strstr(text + looked, prompt)) != NULL) {
            looked = (size_t)(at - text) + strlen(prompt);
            if (answers == 0)
                return false;
            type_answer(fd, *answer++);
            answers--;
        }
        if (have == sizeof(text) - 1)
            return false;
    }
    return false;
}

int main(int argc, char **argv)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int tool = 2, terminal, status;
    bool ended;
    pid_t pid;

    while (tool < argc && strcmp(argv[tool], "--") != 0)
        tool++;
    if (tool + 1 >= argc) {
        fprintf(stderr, "usage: on_terminal PROMPT ANSWER... -- TOOL ARGS...\n");
        return ENDS;
    }
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        return fail("no terminal");
    terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (terminal < 0)
        return fail("no terminal");
    pid = fork();
    if (pid < 0)
        return fail("fork");
    if (pid == 0)
        become(terminal, argv + tool + 1);
    close(terminal);
    ended = talk(master, argv[1], argv + 2, tool - 2);
    if (!ended)
        kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid)
        return fail("waitpid");
    fflush(stdout);
    if (!ended)
        return ENDS;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
