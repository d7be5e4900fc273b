# A module that starts fast and accepts every command; `set` sets the parameter `value` to a number.
host=$1 commands=$2 updates=$3
exec 3<>"/dev/tcp/$host/$commands" 4<>"/dev/tcp/$host/$updates"
while read -r line <&3; do
    [[ $line =~ \"value\":\ ?([0-9]+) ]] &&
        echo "{\"cmd\":\"set_parameters\",\"args\":{\"parameters\":{\"value\":${BASH_REMATCH[1]}}}}" >&4
    echo '{"success":true}' >&3
done
