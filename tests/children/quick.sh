# A module that starts as fast as possible and accepts every command.
host=$1 commands=$2 updates=$3
exec 3<>"/dev/tcp/$host/$commands" 4<>"/dev/tcp/$host/$updates"
while read -r line <&3; do
    echo '{"success":true}' >&3
done
