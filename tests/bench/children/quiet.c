/* A minimal module that accepts every command. An optional first argument is a line that it sends
   over the update stream when it has connected. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(const char *host, const char *port) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int made = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &there.sin_addr);
    if (connect(made, (struct sockaddr *)&there, sizeof there)) exit(1);
    return made;
}

int main(int count, char **arguments) {
    static const char good[] = "{\"success\":true}\n";
    char received[65536];
    ssize_t length;
    char **last = arguments + count - 3;
    int commands = connect_to(last[0], last[1]), updates = connect_to(last[0], last[2]);
    if (count > 4) {
        if (write(updates, arguments[1], strlen(arguments[1])) < 0) return 1;
        if (write(updates, "\n", 1) < 0) return 1;
    }
    while ((length = read(commands, received, sizeof received)) > 0)
        for (char *each = received; each < received + length; each++)
            if (*each == '\n' && write(commands, good, sizeof good - 1) < 0) return 1;
    return 0;
}
