#!/bin/sh
# Pauses command types of a deployed stack, or resumes them, without a deploy: template and code stay as they are, and
# of the parameters only PausedCommands changes.
#
#   ./pause.sh security-agent                          shows what is paused
#   ./pause.sh security-agent sync,dismiss_finding     pauses exactly these types
#   ./pause.sh security-agent none                     resumes all
#
# Needs the AWS CLI and the rights to deploy. Ends with 0 if the stack is as asked, 1 if not, 2 if the arguments are wrong.
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  sed -n 's/^# \{0,1\}//; 2,9p' "$0" >&2
  exit 2
fi
stack=$1

describe() { aws cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].$1" --output text; }
# Lines of a name, a tab and a value.
parameters() { describe 'Parameters[].[ParameterKey,ParameterValue]'; }
paused() { awk -F '\t' '$1 == "PausedCommands" { print $2 == "" ? "none" : $2 }'; }

known=$(parameters) || exit 1
now=$(printf '%s\n' "$known" | paused)
if [ -z "$now" ]; then
  echo "cannot pause anything: stack $stack has no parameter PausedCommands" >&2
  exit 1
fi
wanted=${2:-$now}
if [ "$wanted" = "$now" ]; then
  echo "paused: $now"
  exit
fi

status=$(describe StackStatus)
case $status in
  CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE | IMPORT_COMPLETE) ;;
  *)
    echo "cannot change what is paused ($now): stack $stack is $status; try again when its deploy has ended" >&2
    exit 1
    ;;
esac

value=$wanted
[ "$wanted" != none ] || value=
# In JSON, because the short form of the arguments divides at commas.
changes=$(printf '%s\n' "$known" | awk -F '\t' -v value="$value" '
  { printf "%s{\"ParameterKey\":\"%s\",", NR == 1 ? "[" : ",", $1 }
  $1 == "PausedCommands" { printf "\"ParameterValue\":\"%s\"}", value }
  $1 != "PausedCommands" { printf "\"UsePreviousValue\":true}" }
  END { print "]" }')
aws cloudformation update-stack --stack-name "$stack" --use-previous-template --parameters "$changes" \
  --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --query StackId --output text >&2
if ! aws cloudformation wait stack-update-complete --stack-name "$stack"; then
  echo "cannot change what is paused: stack $stack is $(describe StackStatus); its events say why" >&2
  exit 1
fi
known=$(parameters) || exit 1
echo "paused: $(printf '%s\n' "$known" | paused)"
